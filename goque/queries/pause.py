"""Pausing and resuming batches and queues. Not for: canceling (``cancel``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goque.sql import (
    BIGINT,
    BOOLEAN,
    TEXT,
    Bind,
    Query,
    Statement,
    array,
    excluded,
    insert,
    lit,
    scalar,
    select,
    template,
    unnest,
    update,
)
from goque.sql.tables import BATCH, LANE, QUEUE


@template(read=scalar)
def _pause_batch() -> Query[Any]:
    lanes = (
        update(LANE)
        .set(LANE.paused, Bind("paused", BOOLEAN))
        .where(LANE.batch_id == Bind("batch", BIGINT))
        .returning(LANE.id)
        .cte("lanes")
    )
    return (
        update(BATCH)
        .set(BATCH.paused, Bind("paused", BOOLEAN))
        .where(BATCH.id == Bind("batch", BIGINT))
        .returning(BATCH.id)
        .with_(lanes)
    )


def pause_batch(batch: int, paused: bool) -> Statement[int]:
    """Let no task of a batch be claimed, or let them be claimed again."""
    return _pause_batch.bind(batch=batch, paused=paused)


@template(read=scalar)
def _pause_queues() -> Query[Any]:
    wanted = unnest("wanted", name=Bind("names", array(TEXT)))
    return (
        insert(QUEUE)
        .columns(QUEUE.name, QUEUE.paused)
        .select(select(wanted.name, Bind("paused", BOOLEAN).as_("paused")).from_(wanted))
        .on_conflict(QUEUE.name)
        .do_update(QUEUE.paused.to(excluded(QUEUE).paused))
        .returning(QUEUE.name)
    )


def pause_queues(names: Sequence[str], paused: bool) -> Statement[str]:
    """Let no task of these queues be claimed, or let them be claimed again."""
    return _pause_queues.bind(names=sorted(set(names)), paused=paused)


@template(read=scalar)
def _resume_everything() -> Query[Any]:
    return update(QUEUE).set(QUEUE.paused, lit(False)).where(QUEUE.paused).returning(QUEUE.name)


def resume_everything() -> Statement[str]:
    """Take back the pause of every queue."""
    return _resume_everything.bind()
