"""The dtype of every column of a frame, by its PostgreSQL type, and the one conversion to it. Not for: reading rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import pandas

from goque.model.states import RunOutcome, Status
from goque.sql import Query
from goque.sql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    INTERVAL,
    JSONB,
    SMALLINT,
    TEXT,
    TIMESTAMPTZ,
    SqlType,
    enum_text,
)

STATUS = pandas.CategoricalDtype([status.value for status in Status], ordered=True)
OUTCOME = pandas.CategoricalDtype([outcome.value for outcome in RunOutcome])
MOMENT = pandas.DatetimeTZDtype("us", "UTC")
TEXTS = pandas.StringDtype(na_value=numpy.nan)
OBJECTS = numpy.dtype(object)
_DTYPES: dict[SqlType[Any], Any] = {
    SMALLINT: pandas.Int64Dtype(),
    INTEGER: pandas.Int64Dtype(),
    BIGINT: pandas.Int64Dtype(),
    DOUBLE: numpy.dtype("float64"),
    BOOLEAN: pandas.BooleanDtype(),
    TEXT: TEXTS,
    TIMESTAMPTZ: MOMENT,
    INTERVAL: numpy.dtype("timedelta64[us]"),
    enum_text(Status): STATUS,
    enum_text(RunOutcome): OUTCOME,
}

Shape = Mapping[str, SqlType[Any]]
"""The columns of a frame, in order."""


def shape_of(query: Query[Any]) -> dict[str, SqlType[Any]] | None:
    """The columns of a query's rows; None if they have no names, or not different ones."""
    columns = query.result()
    named = {column.label: column.sql_type for column in columns if column.label is not None}
    return named if len(named) == len(columns) else None


def dtype_of(sql_type: SqlType[Any]) -> Any:
    """What a column of this type becomes; ``object`` for documents, arrays and bytes."""
    return _DTYPES.get(sql_type, OBJECTS)


def is_document(sql_type: SqlType[Any]) -> bool:
    """Whether it travels as JSON where there is only text."""
    return sql_type is JSONB or sql_type.element is not None


def series_of(values: Sequence[Any], sql_type: SqlType[Any]) -> pandas.Series[Any]:
    """Python values, None where there is none, as a column of the type's dtype."""
    dtype = dtype_of(sql_type)
    if dtype is OBJECTS:
        return pandas.Series(objects(values), dtype=object)
    if dtype is MOMENT:
        return pandas.Series(pandas.to_datetime(list(values), utc=True).astype(MOMENT))
    return pandas.Series(list(values), dtype=dtype)


def objects(values: Sequence[Any]) -> Any:
    """Values as cells, whatever they are: numpy would make a matrix of lists of equal length."""
    cells = numpy.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        cells[place] = value
    return cells


def from_text(column: pandas.Series[Any], sql_type: SqlType[Any]) -> pandas.Series[Any]:
    """A column as it was read from text (moments as microseconds since 1970), as a column of the type's dtype."""
    dtype = dtype_of(sql_type)
    if dtype is MOMENT:
        return moments(column)
    if is_document(sql_type):
        return pandas.Series(objects([json.loads(text) if isinstance(text, str) else None for text in column]))
    return column if column.dtype == dtype else column.astype(dtype)


def moments(column: pandas.Series[Any]) -> pandas.Series[Any]:
    """Microseconds since 1970, perhaps missing, as moments."""
    missing = column.isna().to_numpy()
    ticks = column.fillna(0).to_numpy(dtype="int64").view("datetime64[us]").copy()
    ticks[missing] = numpy.datetime64("NaT")
    return pandas.Series(pandas.DatetimeIndex(ticks).tz_localize("UTC").astype(MOMENT))


def named(columns: Sequence[tuple[str, pandas.Series[Any]]]) -> pandas.DataFrame:
    """Columns as a frame; two may have one name, as in SQL."""
    if not columns:
        return pandas.DataFrame()
    frame = pandas.concat([column for _, column in columns], axis=1, copy=False)
    frame.columns = pandas.Index([name for name, _ in columns], dtype=TEXTS)
    return frame
