"""One row per item of a batch: what went in, what came out. Not for: waiting, or history (``goque.history``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goque.app.core import Core
from goque.app.outcomes import ended
from goque.client.spans import Span, ids_of, steps
from goque.model.identity import position_of
from goque.model.states import Status
from goque.queries import reading
from goque.queries.reading import BatchRow

if TYPE_CHECKING:
    from pandas import DataFrame

STEP = 1_000


def batch_frame(
    core: Core, spans: Sequence[Span], python: str, row: BatchRow, *, inputs: bool, expand: bool
) -> DataFrame:
    """Position, status, input and value or error of each item. What cannot be had is None, and its error says why."""
    from goque.history import frames

    columns: dict[str, list[Any]] = {"position": [], "status": [], "error_type": [], "error": []}
    given: list[Any] = []
    values: list[Any] = []
    shared = _shared(core, row) if inputs else {}
    for span in steps(spans, STEP):
        found = {one.id: one for one in core.database.all(reading.outcomes_of(list(ids_of([span]))))}
        arguments = {task: (source, sealed) for task, source, sealed in core.database.all(reading.inputs([span]))}
        for task in ids_of([span]):
            outcome = found.get(task)
            value, error_type, error = None, None, None
            if outcome is not None and outcome.status.final:
                error_type, error = outcome.error_type, outcome.error or outcome.reason
                if outcome.status is Status.DONE:
                    try:
                        value = ended(core, outcome, python).value
                    except Exception as refused:
                        error_type, error = type(refused).__name__, str(refused)
            columns["position"].append(position_of(task))
            columns["status"].append(None if outcome is None else str(outcome.status))
            columns["error_type"].append(error_type)
            columns["error"].append(error)
            values.append(value)
            if inputs:
                given.append(_input(core, arguments.get(task), shared))
    wide = {**(_spread("input", given, expand) if inputs else {}), **_spread("value", values, expand)}
    taken = set(columns)
    named = {(f"item_{name}" if name in taken else name): cells for name, cells in wide.items()}
    return frames.rows_frame({**columns, **named})


def _shared(core: Core, row: BatchRow) -> dict[str, Any]:
    try:
        return core.decoder.shared(row.id, row.kwargs)
    except Exception:  # a key that is missing here: then its inputs are missing too
        return {}


def _input(core: Core, found: tuple[int, bytes | None] | None, shared: Mapping[str, Any]) -> Any:
    if found is None:
        return None
    try:
        args, kwargs = core.decoder.arguments(found[0], None, found[1])
    except Exception:  # signed under another key, or cleaned: the row stays, without its input
        return None
    own = {name: value for name, value in kwargs.items() if name not in shared}
    return own if own and not args else args[0] if len(args) == 1 else args


def _spread(name: str, cells: list[Any], expand: bool) -> dict[str, list[Any]]:
    """One column, or a column per key where every cell that has something is a mapping."""
    some = [cell for cell in cells if cell is not None]
    if not expand or not some or not all(isinstance(cell, Mapping) for cell in some):
        return {name: cells}
    keys = list(dict.fromkeys(str(key) for cell in some for key in cell))
    prefix = "" if name == "input" else "value_"
    return {prefix + key: [None if cell is None else cell.get(key) for cell in cells] for key in keys}
