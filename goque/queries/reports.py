"""News of tasks while they run: progress, checkpoints, logs. Fenced as in ``finish``. Not for: outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from goque.queries.finish import fenced
from goque.sql.columns import unnest
from goque.sql.expressions import Bind, lit
from goque.sql.functions import case, coalesce
from goque.sql.query import Query
from goque.sql.select import select
from goque.sql.statement import Statement, scalar, template
from goque.sql.tables import TASK
from goque.sql.types import BIGINT, BYTEA, JSONB, SMALLINT, TEXT, array
from goque.sql.writes import update


@template(read=scalar)
def _report() -> Query[Any]:
    rows = unnest(
        "report",
        id=Bind("ids", array(BIGINT)),
        run=Bind("runs", array(BIGINT)),
        progress=Bind("progress", array(JSONB, nullable=True)),
        checkpoint=Bind("checkpoints", array(BYTEA, nullable=True)),
        log=Bind("logs", array(TEXT, nullable=True)),
    )
    row = select(TASK.id).from_(TASK).where(fenced(rows)).for_update(skip_locked=True).sub("row")
    locked = (
        select(row.id, rows.progress, rows.checkpoint, rows.log)
        .from_(rows)
        .cross_join_lateral(row)
        .cte("locked", materialized=True)
    )
    return (
        update(TASK)
        .set(TASK.progress, coalesce(locked.progress, TASK.progress))
        .set(TASK.checkpoint, coalesce(locked.checkpoint, TASK.checkpoint))
        .set(TASK.handbacks, case((locked.checkpoint.is_not_null(), lit(0)), else_=TASK.handbacks).cast(SMALLINT))
        .set(TASK.log, coalesce(locked.log, TASK.log))
        .with_(locked)
        .from_(locked)
        .where(TASK.id == locked.id)
        .returning(TASK.id)
    )


class Report(NamedTuple):
    """News of a running task; None leaves a column as it is."""

    id: int
    run: int
    progress: dict[str, Any] | None = None
    checkpoint: bytes | None = None
    log: str | None = None


def report(worker: int, news: Sequence[Report]) -> Statement[int]:
    """Store progress, checkpoints and logs of running tasks."""
    rows = sorted(news, key=lambda one: one.id)
    return _report.bind(
        worker=worker,
        ids=[row.id for row in rows],
        runs=[row.run for row in rows],
        progress=[row.progress for row in rows],
        checkpoints=[row.checkpoint for row in rows],
        logs=[row.log for row in rows],
    )
