"""What runs now, from what living workers hold. Not for: what has run (``chronicle``)."""

from __future__ import annotations

from typing import Any

from goque.model.states import Status
from goque.sql import (
    TEXT,
    Query,
    clock_timestamp,
    coalesce,
    epoch,
    lit,
    optional,
    present,
    select,
    unnest,
)
from goque.sql.tables import BATCH, CLAIM, LANE, TASK, WORKER


def running(limit: int) -> Query[Any]:
    """The tasks that run now, the longest first. Reads the claims, so as many rows as workers hold, never all tasks."""
    member = unnest("member", id=CLAIM.task_ids)
    # The limit keeps the planner from reading all tasks to join them with claims that it knows nothing of.
    task = (
        select(TASK.id, TASK.lane_id, present(TASK.started_at).as_("started_at"))
        .from_(TASK)
        .where(TASK.id == member.id, TASK.status == lit(Status.PROCESSING), TASK.worker_id == CLAIM.worker_id)
        .limit(1)
        .sub("task")
    )
    since: Any = clock_timestamp() - task.started_at
    query = (
        select(
            task.id.as_("task_id"),
            LANE.type,
            coalesce(optional(BATCH.name), optional(BATCH.id).cast(TEXT)).as_("batch"),
            LANE.queue,
            CLAIM.worker_id.as_("worker"),
            WORKER.host,
            task.started_at,
            epoch(since).as_("run_s"),
        )
        .from_(CLAIM)
        .cross_join_lateral(member)
        .cross_join_lateral(task)
        .join(LANE, LANE.id == task.lane_id)
        .join(WORKER, WORKER.id == CLAIM.worker_id)
        .left_join(BATCH, BATCH.id == LANE.batch_id)
    )
    found: Query[Any] = query.order_by(task.started_at, task.id).limit(limit)
    return found
