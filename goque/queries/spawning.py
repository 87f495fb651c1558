"""Tasks that other tasks asked for, stored with the outcome of those. Not for: what clients store (``enqueue``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goque.model.states import Status
from goque.queries.enqueue import Single, insert_singles, single_rows, single_values
from goque.queries.tally import counted
from goque.sql import BIGINT, Bind, Query, Statement, array, lit, select, template
from goque.sql.tables import TASK


@template(read=tuple)
def _spawn() -> Query[Any]:
    rows = single_rows(parent=Bind("parents", array(BIGINT)), run=Bind("runs", array(BIGINT)))
    parent = TASK.as_("parent")
    # A turn whose answer was lost is repeated: what it has stored is there by its id.
    stored = (
        insert_singles(
            rows,
            lambda selected: selected.join(parent, parent.id == rows.parent).where(
                parent.run == rows.run,
                parent.worker_id == Bind("worker", BIGINT),
                parent.status == lit(Status.DONE),
            ),
        )
        .on_conflict(TASK.id)
        .do_nothing()
        .returning(TASK.id, TASK.lane_id, TASK.status)
        .cte("stored")
    )
    counts = counted(stored, after=stored.status)
    return select(stored.id, stored.lane_id).with_(stored, counts).from_(stored)


def spawn(worker: int, tasks: Sequence[tuple[int, int, Single]]) -> Statement[tuple[int, int]]:
    """Store ``(parent, its run, task)`` where this worker has written that run of the parent as done.

    Belongs into the transaction that writes it, and after that. Gives id and lane of what was stored.
    """
    return _spawn.bind(
        worker=worker,
        parents=[parent for parent, _, _ in tasks],
        runs=[run for _, run, _ in tasks],
        **single_values([task for _, _, task in tasks]),
    )
