"""Tasks that other tasks asked for, stored with the outcome of those. Not for: what clients store (``enqueue``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goque.model.identity import SPAN
from goque.model.states import Status
from goque.queries.enqueue import Single, insert_singles, single_rows, single_values
from goque.queries.tally import counted
from goque.sql import (
    BIGINT,
    TEXT,
    Bind,
    Query,
    Statement,
    array,
    delete,
    insert,
    lit,
    present,
    scalar,
    select,
    template,
    unnest,
)
from goque.sql.tables import DELETED_BATCH, EXTERNAL_ID, LANE, TASK


@template(read=tuple)
def _spawn() -> Query[Any]:
    rows = single_rows(parent=Bind("parents", array(BIGINT)), run=Bind("runs", array(BIGINT)))
    parent = TASK.as_("parent")
    is_done = (
        (parent.run == rows.run) & (parent.worker_id == Bind("worker", BIGINT)) & (parent.status == lit(Status.DONE))
    )
    taken = (
        insert(EXTERNAL_ID)
        .columns(EXTERNAL_ID.type, EXTERNAL_ID.external_id, EXTERNAL_ID.task_id)
        .select(
            select(LANE.type, present(rows.external_id).as_("external_id"), rows.id)
            .from_(rows)
            .join(LANE, LANE.id == rows.lane_id)
            .join(parent, parent.id == rows.parent)
            .where(is_done, rows.external_id.is_not_null())
            .order_by(rows.external_id, LANE.type)
        )
        .on_conflict(EXTERNAL_ID.type, EXTERNAL_ID.external_id)
        .do_nothing()
        .returning(EXTERNAL_ID.task_id)
        .cte("taken")
    )
    # A turn whose answer was lost is repeated: what it has stored is there by its id, and has its external id.
    stored = (
        insert_singles(
            rows,
            lambda selected: selected.join(parent, parent.id == rows.parent).where(
                is_done, rows.external_id.is_null() | rows.id.in_(select(taken.task_id).from_(taken))
            ),
        )
        .on_conflict(TASK.id)
        .do_nothing()
        .returning(TASK.id, TASK.lane_id, TASK.status)
        .cte("stored")
    )
    counts = counted(stored, after=stored.status)
    return select(stored.id, stored.lane_id).with_(taken, stored, counts).from_(stored)


def spawn(worker: int, tasks: Sequence[tuple[int, int, Single]]) -> Statement[tuple[int, int]]:
    """Store ``(parent, its run, task)`` where this worker has written that run of the parent as done.

    Belongs into the transaction that writes it, and after that. Gives id and lane of what was stored: not of tasks
    whose external id another has. Who takes an external id may have to wait for a transaction that takes the same.
    """
    return _spawn.bind(
        worker=worker,
        parents=[parent for parent, _, _ in tasks],
        runs=[run for _, run, _ in tasks],
        **single_values([task for _, _, task in tasks]),
    )


@template(read=scalar)
def _forget_holders() -> Query[Any]:
    wanted = unnest("wanted", lane=Bind("lanes", array(BIGINT)), external_id=Bind("external_ids", array(TEXT)))
    return (
        delete(EXTERNAL_ID)
        .using(wanted, LANE, DELETED_BATCH)
        .where(
            LANE.id == wanted.lane,
            EXTERNAL_ID.type == LANE.type,
            EXTERNAL_ID.external_id == wanted.external_id,
            DELETED_BATCH.id == EXTERNAL_ID.task_id // lit(SPAN),
        )
        .returning(EXTERNAL_ID.task_id)
    )


def forget_holders(tasks: Sequence[Single]) -> Statement[int]:
    """Free the external ids of these tasks that tasks of batches have which are gone."""
    named = [(task.lane, task.external_id) for task in tasks if task.external_id is not None]
    return _forget_holders.bind(lanes=[lane for lane, _ in named], external_ids=[id for _, id in named])
