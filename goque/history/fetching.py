"""The ways of bringing rows of a query into a frame; all give the same frame. Not for: what is asked (``frames``).

A few rows come as rows. Many come by COPY as CSV, read by pyarrow where that is installed, else by pandas.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import pandas as pd

from goque.history.dtypes import TEXTS, Kind, Wire, array_of, finished, wired
from goque.postgres.verbs import Verbs
from goque.sql import Query, coalesce, select, statement_of

FEW = 20_000
"""Up to so many rows the driver's own rows are quick enough."""

# In CSV a null is an empty field and an empty text a quoted one; pandas cannot tell them apart.
_NULL = "\x01null\x01"


def fetch(
    database: Verbs, query: Query[Any], *, name: str, values: Mapping[str, object] | None = None, few: bool = False
) -> pd.DataFrame:
    """The rows of a query as a frame with the dtypes of its columns. ``few``: there are at most ``FEW``."""
    way = by_rows if few else quickest()
    return way(database, query, name, dict(values or {}))


def quickest() -> Callable[[Verbs, Query[Any], str, dict[str, object]], pd.DataFrame]:
    """The way for many rows that this installation allows."""
    return by_arrow_csv if _installed("pyarrow") else by_pandas_csv


def by_rows(database: Verbs, query: Query[Any], name: str, values: dict[str, object]) -> pd.DataFrame:
    """Rows of the driver."""
    sent, kinds = wired(query)
    rows = database.all(statement_of(sent, name=name, values=values))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(kinds)
    raw = {column: array_of(found, kind.wire) for (column, kind), found in zip(kinds.items(), columns, strict=True)}
    return finished(raw, kinds)


def by_pandas_csv(database: Verbs, query: Query[Any], name: str, values: dict[str, object]) -> pd.DataFrame:
    """COPY as CSV, read by pandas."""
    sent, kinds = wired(query)
    rows = sent.sub("marked")
    columns = [
        (coalesce(rows[column], _NULL) if kind.wire is Wire.TEXT else rows[column]).as_(column)
        for column, kind in kinds.items()
    ]
    statement = statement_of(select(*columns).from_(rows), name=name, values=values)
    dtypes = {Wire.WHOLE: "Int64", Wire.DOUBLE: "float64", Wire.TEXT: TEXTS}
    nulls = {Wire.WHOLE: [""], Wire.DOUBLE: ["", "NaN"], Wire.TEXT: [_NULL]}
    frame = pd.read_csv(
        _Blocks(database.copy_out_csv(statement)),
        header=None,
        names=list(kinds),
        dtype={column: dtypes[kind.wire] for column, kind in kinds.items()},  # type: ignore[arg-type]
        na_values={column: nulls[kind.wire] for column, kind in kinds.items()},
        keep_default_na=False,
        skip_blank_lines=False,
        low_memory=False,
    )
    raw = {
        column: frame[column].to_numpy() if kind.wire is Wire.DOUBLE else frame[column].array
        for column, kind in kinds.items()
    }
    return finished(raw, kinds)


def by_arrow_csv(database: Verbs, query: Query[Any], name: str, values: dict[str, object]) -> pd.DataFrame:
    """COPY as CSV, read by pyarrow."""
    import pyarrow
    from pyarrow import csv

    sent, kinds = wired(query)
    types = {Wire.WHOLE: pyarrow.int64(), Wire.DOUBLE: pyarrow.float64(), Wire.TEXT: pyarrow.string()}
    schema = {column: types[kind.wire] for column, kind in kinds.items()}
    source = _Blocks(database.copy_out_csv(statement_of(sent, name=name, values=values)))
    first = source.peek()
    if not first:  # pyarrow takes an empty input for a mistake
        return from_arrow(pyarrow.table({column: pyarrow.array([], kind) for column, kind in schema.items()}), kinds)
    table = csv.read_csv(
        source,
        read_options=csv.ReadOptions(column_names=list(kinds), block_size=1 << 24),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    return from_arrow(table, kinds)


def from_arrow(table: Any, kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """An Arrow table of whole numbers, doubles and texts as the frame."""
    raw: dict[str, Any] = {}
    for place, (column, kind) in enumerate(kinds.items()):
        found = table.column(place)
        if kind.wire is Wire.WHOLE:
            raw[column] = pd.Int64Dtype().__from_arrow__(found.cast("int64"))  # type: ignore[attr-defined]
        elif kind.wire is Wire.DOUBLE:
            raw[column] = found.cast("float64").to_numpy()
        else:
            raw[column] = TEXTS.__from_arrow__(found)  # type: ignore[attr-defined]
    return finished(raw, kinds)


@cache
def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a file to read, so that the whole text is never in memory."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        super().__init__()
        self._blocks = blocks
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def peek(self) -> bytes:
        """What comes next, without taking it; nothing at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest = block
        return self._rest

    def readinto(self, buffer: Any) -> int:
        """Fill some of the buffer; 0 at the end."""
        taken = self.peek()[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)
