"""Which dtype a column has in a frame, by its SQL type alone, whatever the data. Not for: fetching the data.

Every way of fetching delivers four plain kinds: whole numbers, doubles, texts, and nothing else. So times travel as
microseconds, documents as JSON text, truth as 0 and 1; ``wired`` says so in SQL, ``finished`` turns it into dtypes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from goque.model.states import RunOutcome, Status
from goque.sql import BIGINT, DOUBLE, INTEGER, TEXT, Derived, Expression, Query, SqlType, epoch, function, lit, select

STATUS = pd.CategoricalDtype([str(status) for status in Status], ordered=True)
OUTCOME = pd.CategoricalDtype([str(outcome) for outcome in RunOutcome])
TEXTS = pd.StringDtype(na_value=np.nan)
MOMENT = pd.DatetimeTZDtype("us", "UTC")


class Wire(Enum):
    """How a column travels."""

    WHOLE = "whole"
    DOUBLE = "double"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of column: its dtype, how it travels, and how it is turned into one on each side."""

    dtype: Any
    wire: Wire
    sent: Callable[[Expression[Any]], Expression[Any]]
    received: Callable[[Any], Any]


def _microseconds(moment: Expression[Any]) -> Expression[Any]:
    # Exact: a double holds the microseconds of any date of this century and more.
    return (epoch(moment) * lit(1_000_000)).cast(BIGINT)


def _json(document: Expression[Any]) -> Expression[Any]:
    return function("to_jsonb", TEXT, document, nullable=True).cast(TEXT)


def _hexadecimal(data: Expression[Any]) -> Expression[Any]:
    return Expression(function("encode", TEXT, data, _word("hex"), nullable=True).term, TEXT, nullable=True)


def _word(text: str) -> Any:
    return text


def _ticks(numbers: Any, unit: str) -> Any:
    return numbers.to_numpy(dtype="int64", na_value=np.iinfo("int64").min).view(unit)


def _moments(numbers: Any) -> Any:
    return pd.DatetimeIndex(_ticks(numbers, "M8[us]")).tz_localize("UTC").array


def _intervals(numbers: Any) -> Any:
    return pd.TimedeltaIndex(_ticks(numbers, "m8[us]")).array


def _objects(load: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Objects of texts, None where there is none."""

    def received(texts: Any) -> Any:
        found = np.empty(len(texts), dtype=object)
        found[:] = None
        for place in np.flatnonzero(~np.asarray(texts.isna())):
            found[place] = load(texts[place])
        return found

    return received


def _category(dtype: Any) -> Kind:
    return Kind(dtype, Wire.TEXT, lambda one: one.cast(TEXT), lambda texts: pd.Categorical(texts, dtype=dtype))


_WHOLE = Kind(pd.Int64Dtype(), Wire.WHOLE, lambda one: one, lambda numbers: numbers)
_DOUBLE = Kind(np.dtype("float64"), Wire.DOUBLE, lambda one: one, lambda numbers: numbers)
_TRUTH = Kind(pd.BooleanDtype(), Wire.WHOLE, lambda one: one.cast(INTEGER), lambda numbers: numbers.astype("boolean"))
_TEXT = Kind(TEXTS, Wire.TEXT, lambda one: one.cast(TEXT), lambda texts: texts)
_MOMENT = Kind(MOMENT, Wire.WHOLE, _microseconds, _moments)
_INTERVAL = Kind(np.dtype("m8[us]"), Wire.WHOLE, _microseconds, _intervals)
_DOCUMENT = Kind(np.dtype(object), Wire.TEXT, _json, _objects(json.loads))
_BYTES = Kind(np.dtype(object), Wire.TEXT, _hexadecimal, _objects(bytes.fromhex))

_BY_FAMILY: Mapping[str, Kind] = {
    "number": _WHOLE,
    "boolean": _TRUTH,
    "text": _TEXT,
    "timestamptz": _MOMENT,
    "interval": _INTERVAL,
    "jsonb": _DOCUMENT,
    "bytea": _BYTES,
}
_BY_ENUM: Mapping[Any, Kind] = {Status: _category(STATUS), RunOutcome: _category(OUTCOME)}


def kind_of(sql_type: SqlType[Any]) -> Kind:
    """How a column of this type is shown."""
    if sql_type is DOUBLE:
        return _DOUBLE
    if sql_type.load in _BY_ENUM:
        return _BY_ENUM[sql_type.load]
    if sql_type.element is not None:
        return _DOCUMENT
    return _BY_FAMILY.get(sql_type.family, _TEXT)


def wired(query: Query[Any]) -> tuple[Query[Any], dict[str, Kind]]:
    """The query with its columns as they travel, and the kind of each; its order is kept."""
    rows: Derived = query.sub("rows_of_query")
    kinds = {column.label or "": kind_of(column.sql_type) for column in query.result()}
    columns = [kind.sent(rows[name]).as_(name) for name, kind in kinds.items()]
    return select(*columns).from_(rows), kinds


def finished(raw: Mapping[str, Any], kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """The frame, of columns as they arrived: Int64 arrays, float64 arrays and text arrays."""
    return pd.DataFrame({name: kind.received(raw[name]) for name, kind in kinds.items()}, copy=False)


def array_of(values: Sequence[Any], wire: Wire) -> Any:
    """Python values, None for null, as a column that arrived."""
    if wire is Wire.WHOLE:
        return pd.array(list(values), dtype="Int64")
    if wire is Wire.DOUBLE:
        return np.array(values, dtype="float64")
    return pd.array(list(values), dtype=TEXTS)


def series_of(name: str, values: Sequence[Any]) -> pd.Series[Any]:
    """Python values of a column that has no SQL type, None where there is none, with the dtype that suits them all.

    Whole numbers stay whole beside None; the columns that ``Batch.to_frame`` always has get theirs also when empty.
    """
    dtype = _ALWAYS.get(name) or _suitable(values)
    if dtype is not None:
        column: pd.Series[Any] = pd.Series(list(values), dtype=dtype)
        return column
    cells = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        cells[place] = value  # one by one: numpy would make a matrix of lists of equal length
    return pd.Series(cells)


_ALWAYS: Mapping[str, Any] = {
    "position": pd.Int64Dtype(),
    "status": STATUS,
    "error_type": TEXTS,
    "error": TEXTS,
}


def _suitable(values: Sequence[Any]) -> Any:
    """The dtype of these values, None for objects that have none in common."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        whole = all(value is None or -(2**63) <= value < 2**63 for value in values)
        return pd.Int64Dtype() if whole else None
    if kinds == {bool}:
        return pd.BooleanDtype()
    if kinds == {str}:
        return TEXTS
    return np.dtype("float64") if kinds and kinds <= {int, float} else None
