"""Named task types, as workers declared them. Not for: their code, or their tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goque.model.manifest import TaskType
from goque.sql import (
    DOUBLE,
    INTEGER,
    SMALLINT,
    TEXT,
    Bind,
    Query,
    Statement,
    array,
    excluded,
    insert,
    now,
    scalar,
    select,
    template,
)
from goque.sql.tables import TASK_TYPE


@template(read=scalar)
def _declare() -> Query[Any]:
    new = excluded(TASK_TYPE)
    return (
        insert(TASK_TYPE)
        .set(TASK_TYPE.name, Bind("name", TEXT))
        .set(TASK_TYPE.queue, Bind("queue", TEXT))
        .set(TASK_TYPE.priority, Bind("priority", INTEGER))
        .set(TASK_TYPE.max_attempts, Bind("max_attempts", SMALLINT))
        .set(TASK_TYPE.timeout_s, Bind("timeout_s", DOUBLE, nullable=True))
        .set(TASK_TYPE.keep_s, Bind("keep_s", DOUBLE, nullable=True))
        .set(TASK_TYPE.tags, Bind("tags", array(TEXT)))
        .on_conflict(TASK_TYPE.name)
        .do_update(
            TASK_TYPE.queue.to(new.queue),
            TASK_TYPE.priority.to(new.priority),
            TASK_TYPE.max_attempts.to(new.max_attempts),
            TASK_TYPE.timeout_s.to(new.timeout_s),
            TASK_TYPE.keep_s.to(new.keep_s),
            TASK_TYPE.tags.to(new.tags),
            TASK_TYPE.declared_at.to(now()),
        )
        .returning(TASK_TYPE.name)
    )


def declare(types: Sequence[TaskType]) -> list[Statement[str]]:
    """Tell submitters of these types; who comes last is right. In the order of names, so that none wait in a circle."""
    return [
        _declare.bind(
            name=one.name,
            queue=one.queue,
            priority=one.priority,
            max_attempts=one.max_attempts,
            timeout_s=one.timeout_s,
            keep_s=one.keep_s,
            tags=list(one.tags),
        )
        for one in sorted(types, key=lambda one: one.name)
    ]


def _task_type(row: tuple[Any, ...]) -> TaskType:
    name, queue, priority, max_attempts, timeout_s, keep_s, tags = row
    return TaskType(
        name=name,
        queue=queue,
        priority=priority,
        max_attempts=max_attempts,
        timeout_s=timeout_s,
        keep_s=keep_s,
        tags=tags,
    )


@template(read=_task_type)
def _declared() -> Query[Any]:
    return (
        select(
            TASK_TYPE.name,
            TASK_TYPE.queue,
            TASK_TYPE.priority,
            TASK_TYPE.max_attempts,
            TASK_TYPE.timeout_s,
            TASK_TYPE.keep_s,
            TASK_TYPE.tags,
        )
        .from_(TASK_TYPE)
        .where(TASK_TYPE.name == Bind("name", TEXT))
    )


def declared(name: str) -> Statement[TaskType]:
    """The type of this name; no row while no worker has declared it."""
    return _declared.bind(name=name)
