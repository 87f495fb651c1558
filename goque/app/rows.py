"""``Batch.to_frame``: one row per item with its input and its value, or its error. Not for: runs (``history``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goque.app.core import Core
from goque.app.outcomes import ended
from goque.client.spans import Span, ids_of, steps
from goque.model.identity import position_of
from goque.model.states import Status
from goque.queries import outcomes, reading
from goque.queries.outcomes import OutcomeRow
from goque.queries.reading import BatchRow

if TYPE_CHECKING:
    from pandas import DataFrame

STEP = 5_000
_MISSING = object()
_FAILED = (Status.ERROR, Status.ATTEMPTS_LEFT)


def batch_frame(
    core: Core, spans: Sequence[Span], python: str | None, row: BatchRow, *, inputs: bool, expand: bool
) -> DataFrame:
    """One row per task as it stands now. What cannot be had is None, and its error says why.

    An input is the only argument, the tuple of arguments, or the mapping of keyword arguments; with ``expand`` mappings
    get a column per key, tuples ``input_0``, ``input_1``..., and what is neither stands in ``input`` and ``value``.
    """
    from goque.history import frames

    columns: dict[str, list[Any]] = {"position": [], "status": []}
    given: list[Any] = []
    values: list[Any] = []
    kinds: list[str | None] = []
    texts: list[str | None] = []
    shared = _shared(core, row) if inputs else {}
    for span in steps(spans, STEP):
        items = _items(core, span, shared) if inputs else {}
        for outcome in sorted(core.database.all(outcomes.outcomes_of(list(ids_of([span]))))):
            value, kind, text = _ending(core, outcome, python)
            columns["position"].append(position_of(outcome.id))
            columns["status"].append(str(outcome.status))
            given.append(items.get(outcome.id, _MISSING))
            values.append(value)
            kinds.append(kind)
            texts.append(text)
    taken = {*columns, "error_type", "error"}
    if inputs:
        _add(columns, "input", given, expand=expand, taken=taken)
    _add(columns, "value", values, expand=expand, taken=taken)
    columns["error_type"], columns["error"] = kinds, texts
    return frames.rows_frame(columns)


def item_of(args: tuple[Any, ...], kwargs: Mapping[str, Any], shared: Iterable[str]) -> Any:
    """The item that a call was made of: its only argument, all of them, or its own keyword arguments."""
    own = {name: value for name, value in kwargs.items() if name not in set(shared)}
    if own and not args:
        return own
    return args[0] if len(args) == 1 else args


def _shared(core: Core, row: BatchRow) -> dict[str, Any]:
    try:
        return core.shared(row.id)
    except Exception:  # any object's own unpickling may fail
        return {}


def _items(core: Core, span: Span, shared: Mapping[str, Any]) -> dict[int, Any]:
    """Items by task; one that cannot be had is left out."""
    items = {}
    for task, source, sealed in core.database.all(reading.inputs([span])):
        try:
            args, kwargs = core.decoder.arguments(source, None, sealed)
            items[task] = item_of(args, kwargs, shared)
        except Exception:  # any object's own unpickling may fail
            continue
    return items


def _ending(core: Core, row: OutcomeRow, python: str | None) -> tuple[Any, str | None, str | None]:
    """Value, error type and error."""
    if row.status is Status.DONE:
        try:
            return ended(core, row, python).value, None, None
        except Exception as error:  # any object's own unpickling may fail
            return _MISSING, type(error).__name__, str(error)
    if row.status is Status.CANCELED:
        return _MISSING, "TaskCanceled", row.reason
    if row.status in _FAILED:
        return _MISSING, row.error_type or row.outcome, row.error or row.reason
    return _MISSING, None, None


def _add(columns: dict[str, list[Any]], name: str, cells: list[Any], *, expand: bool, taken: set[str]) -> None:
    """Cells as one column, or as one per key where they are mappings or tuples."""
    parts = [_parts(name, cell) if expand else {name: cell} for cell in cells]
    keys = dict.fromkeys(key for cell, part in zip(cells, parts, strict=True) if cell is not _MISSING for key in part)
    for key in keys or (name,):
        column = f"{name}_{key}" if key in taken else key
        while column in taken:
            column += "_"
        taken.add(column)
        found = [part.get(key, _MISSING) for part in parts]
        columns[column] = [None if cell is _MISSING else cell for cell in found]


def _parts(name: str, cell: Any) -> Mapping[str, Any]:
    if isinstance(cell, dict) and cell and all(isinstance(key, str) for key in cell):
        return cell
    if name == "input" and type(cell) is tuple and cell:
        return {f"{name}_{place}": part for place, part in enumerate(cell)}
    return {name: cell}
