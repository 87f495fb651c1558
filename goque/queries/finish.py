"""Ending runs. Not for: giving back what has not run (``handback``), or what people do (``cancel``, ``retry``).

Every statement here, in ``handback`` and in ``reports`` is fenced: it touches a row only while this worker still holds
this very run of it, and gives back the ids that it touched. Rows are locked one by one in the order of the arrays,
which callers sort by id, so that two workers never wait for each other in a circle; a row that somebody else has locked
is skipped and comes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from goque.model.states import MAX_HANDBACKS, RunOutcome, Status
from goque.queries.statuses import FINAL, UNFINISHED
from goque.queries.tally import counted
from goque.sql.columns import RowFunction, unnest
from goque.sql.expressions import Bind, Condition, lit, null
from goque.sql.functions import case, coalesce, now, seconds
from goque.sql.query import Cte, Query
from goque.sql.select import select
from goque.sql.statement import Statement, scalar, template
from goque.sql.tables import EXTERNAL_ID, RUN, TASK
from goque.sql.types import BIGINT, BYTEA, DOUBLE, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, array, enum_text
from goque.sql.writes import delete, insert, update

_NO_SEQ = null(BIGINT)


class Success(NamedTuple):
    """A run that returned. Times are seconds; ``ago`` is how long since it ended."""

    id: int
    run: int
    result: bytes
    ago: float
    run_s: float
    cpu_s: float
    max_rss_mb: float
    log: str | None


class End(NamedTuple):
    """A run that did not succeed, and what the task becomes.

    ``status`` is error (for another attempt after ``delay`` seconds, or ``attempts_left`` when none is left),
    attempts_left, canceled, pending (snoozed for ``delay``) or new (handed back). ``charge`` is 1 when it costs an
    attempt. ``run_s`` is None when the code had not started, which leaves no record.
    """

    id: int
    run: int
    status: Status
    outcome: RunOutcome
    charge: int = 0
    delay: float | None = None
    reason: str | None = None
    error_type: str | None = None
    error: str | None = None
    user_frame: str | None = None
    traceback: str | None = None
    exception: bytes | None = None
    args_repr: str | None = None
    exit_signal: int | None = None
    exit_code: int | None = None
    ago: float = 0.0
    run_s: float | None = None
    cpu_s: float | None = None
    max_rss_mb: float | None = None
    log: str | None = None


def fenced(rows: RowFunction) -> Condition:
    """The fence: this run of this task, held by this worker."""
    return (
        (TASK.id == rows.id) & (TASK.run == rows.run) & (TASK.worker_id == Bind("worker", BIGINT)) & (TASK.seq < lit(0))
    )


def lock_fenced(rows: RowFunction, *also: Condition) -> Cte:
    """The rows that are still this worker's, locked in the order of the arrays, with the status they had."""
    row = (
        select(
            TASK.id,
            TASK.lane_id,
            TASK.status.as_("before"),
            TASK.attempts,
            TASK.max_attempts,
            TASK.handbacks,
            TASK.external_id,
        )
        .from_(TASK)
        .where(fenced(rows), *also)
        .for_update(skip_locked=True)
        .sub("row")
    )
    own = {column.name for column in rows._columns()}
    given = [getattr(rows, name) for name in sorted(own - {"id"})]
    return (
        select(row.id, row.lane_id, row.before, row.attempts, row.max_attempts, row.handbacks, row.external_id, *given)
        .from_(rows)
        .cross_join_lateral(row)
        .cte("locked", materialized=True)
    )


_SUCCESS_ARRAYS = ("ids", "runs", "results", "agos", "run_s", "cpu_s", "max_rss_mb", "logs")
"""As the fields of ``Success``."""


@template(read=scalar)
def _succeed() -> Query[Any]:
    rows = unnest(
        "ended",
        id=Bind("ids", array(BIGINT)),
        run=Bind("runs", array(BIGINT)),
        result=Bind("results", array(BYTEA)),
        ago=Bind("agos", array(DOUBLE)),
        run_s=Bind("run_s", array(DOUBLE)),
        cpu_s=Bind("cpu_s", array(DOUBLE)),
        max_rss_mb=Bind("max_rss_mb", array(DOUBLE)),
        log=Bind("logs", array(TEXT, nullable=True)),
    )
    locked = lock_fenced(rows, TASK.status.in_(UNFINISHED))
    # seq stays negative: no indexed column changes, so the update can stay on its page (HOT).
    done = (
        update(TASK)
        .set(TASK.status, lit(Status.DONE))
        .set(TASK.attempts, TASK.attempts + lit(1))
        .set(TASK.losses, lit(0))
        .set(TASK.result, locked.result)
        .set(TASK.started_at, now() - seconds(locked.ago + locked.run_s))
        .set(TASK.finished_at, now() - seconds(locked.ago))
        .set(TASK.cpu_s, locked.cpu_s)
        .set(TASK.max_rss_mb, locked.max_rss_mb)
        .set(TASK.log, locked.log)
        .set(TASK.progress, None)
        .set(TASK.checkpoint, None)
        .from_(locked)
        .where(TASK.id == locked.id)
        .returning(TASK.id, TASK.lane_id, locked.before, TASK.status.as_("after"))
        .cte("done")
    )
    counts = counted(done, before=done.before, after=done.after)
    return select(done.id).with_(locked, done, counts).from_(done)


def succeed(worker: int, ended: Sequence[Success]) -> Statement[int]:
    """Write results. Gives back the ids that were still this worker's."""
    columns = map(list, zip(*sorted(ended), strict=True))
    return _succeed.bind(worker=worker, **dict(zip(_SUCCESS_ARRAYS, columns, strict=True)))


def _ends() -> RowFunction:
    return unnest(
        "ended",
        id=Bind("ids", array(BIGINT)),
        run=Bind("runs", array(BIGINT)),
        status=Bind("statuses", array(enum_text(Status))),
        outcome=Bind("outcomes", array(enum_text(RunOutcome))),
        charge=Bind("charges", array(SMALLINT)),
        delay=Bind("delays", array(DOUBLE, nullable=True)),
        reason=Bind("reasons", array(TEXT, nullable=True)),
        error_type=Bind("error_types", array(TEXT, nullable=True)),
        error=Bind("errors", array(TEXT, nullable=True)),
        user_frame=Bind("user_frames", array(TEXT, nullable=True)),
        traceback=Bind("tracebacks", array(TEXT, nullable=True)),
        exception=Bind("exceptions", array(BYTEA, nullable=True)),
        args_repr=Bind("args_reprs", array(TEXT, nullable=True)),
        exit_signal=Bind("exit_signals", array(SMALLINT, nullable=True)),
        exit_code=Bind("exit_codes", array(INTEGER, nullable=True)),
        ago=Bind("agos", array(DOUBLE)),
        run_s=Bind("run_s", array(DOUBLE, nullable=True)),
        cpu_s=Bind("cpu_s", array(DOUBLE, nullable=True)),
        max_rss_mb=Bind("max_rss_mb", array(DOUBLE, nullable=True)),
        log=Bind("logs", array(TEXT, nullable=True)),
    )


_END_ARRAYS = dict(
    zip(
        End._fields,
        (
            "ids",
            "runs",
            "statuses",
            "outcomes",
            "charges",
            "delays",
            "reasons",
            "error_types",
            "errors",
            "user_frames",
            "tracebacks",
            "exceptions",
            "args_reprs",
            "exit_signals",
            "exit_codes",
            "agos",
            "run_s",
            "cpu_s",
            "max_rss_mb",
            "logs",
        ),
        strict=True,
    )
)


def _end_values(ended: Sequence[End]) -> dict[str, Any]:
    rows = sorted(ended, key=lambda one: one.id)
    return {name: [getattr(row, field) for row in rows] for field, name in _END_ARRAYS.items()}


def _recorded(locked: Cte, status: Any) -> Cte:
    """A record for each run whose code had started."""
    return (
        insert(RUN)
        .columns(
            RUN.task_id,
            RUN.run,
            RUN.worker_id,
            RUN.attempt,
            RUN.status,
            RUN.outcome,
            RUN.started_at,
            RUN.finished_at,
            RUN.error_type,
            RUN.error,
            RUN.user_frame,
            RUN.traceback,
            RUN.exception,
            RUN.args_repr,
            RUN.exit_signal,
            RUN.exit_code,
            RUN.cpu_s,
            RUN.max_rss_mb,
            RUN.log,
        )
        .select(
            select(
                locked.id,
                locked.run,
                Bind("worker", BIGINT).as_("worker_id"),
                (locked.attempts + lit(1)).cast(SMALLINT).as_("attempt"),
                status.as_("status"),
                locked.outcome,
                (now() - seconds(locked.ago + locked.run_s)).as_("started_at"),
                (now() - seconds(locked.ago)).as_("finished_at"),
                locked.error_type,
                locked.error,
                locked.user_frame,
                locked.traceback,
                locked.exception,
                locked.args_repr,
                locked.exit_signal,
                locked.exit_code,
                locked.cpu_s,
                locked.max_rss_mb,
                locked.log,
            )
            .from_(locked)
            .where(locked.run_s.is_not_null())
        )
        .on_conflict(RUN.task_id, RUN.run)
        .do_nothing()
        .returning(RUN.task_id)
        .cte("recorded")
    )


@template(read=tuple)
def _end() -> Query[Any]:
    rows = _ends()
    locked = lock_fenced(rows, TASK.status.in_(UNFINISHED))
    no_attempt_left = locked.attempts + locked.charge >= locked.max_attempts
    too_often = (locked.outcome == lit(RunOutcome.HANDED_BACK)) & (locked.handbacks + lit(1) >= lit(MAX_HANDBACKS))
    after = case(
        ((locked.status == lit(Status.ERROR)) & no_attempt_left, lit(Status.ATTEMPTS_LEFT)),
        (too_often, lit(Status.ATTEMPTS_LEFT)),
        else_=locked.status,
    )
    is_final = after.in_(FINAL)
    ended = (
        update(TASK)
        .set(TASK.status, after)
        .set(TASK.attempts, (TASK.attempts + locked.charge).cast(SMALLINT))
        .set(TASK.losses, lit(0))
        .set(
            TASK.handbacks,
            case((locked.outcome == lit(RunOutcome.HANDED_BACK), TASK.handbacks + lit(1)), else_=TASK.handbacks).cast(
                SMALLINT
            ),
        )
        .set(TASK.seq, case((after == lit(Status.NEW), -TASK.seq), else_=_NO_SEQ))
        .set(
            TASK.run_at,
            case(
                (after.in_([lit(Status.ERROR), lit(Status.PENDING)]), now() + seconds(coalesce(locked.delay, 0.0))),
                else_=null(TIMESTAMPTZ),
            ),
        )
        .set(TASK.worker_id, None)
        .set(TASK.started_at, None)
        .set(TASK.finished_at, case((is_final, now() - seconds(locked.ago)), else_=null(TIMESTAMPTZ)))
        .set(TASK.reason, locked.reason)
        .set(TASK.log, None)
        .from_(locked)
        .where(TASK.id == locked.id)
        .returning(TASK.id, TASK.lane_id, locked.before, TASK.status.as_("after"), TASK.external_id)
        .cte("done")
    )
    counts = counted(ended, before=ended.before, after=ended.after)
    recorded = _recorded(
        locked,
        case(
            (locked.outcome.in_([lit(RunOutcome.SNOOZED), lit(RunOutcome.HANDED_BACK)]), lit(Status.PENDING)),
            (locked.outcome == lit(RunOutcome.CANCELED), lit(Status.CANCELED)),
            else_=lit(Status.ERROR),
        ),
    )
    freed = _external_ids_freed(ended)
    return select(ended.id, ended.after).with_(locked, ended, counts, recorded, freed).from_(ended)


def _external_ids_freed(ended: Cte) -> Cte:
    """An external id is taken by tasks that are live or done; one that failed for good gives it up."""
    return (
        delete(EXTERNAL_ID)
        .using(ended)
        .where(
            EXTERNAL_ID.task_id == ended.id,
            ended.external_id.is_not_null(),
            ended.after.in_([lit(Status.ATTEMPTS_LEFT), lit(Status.CANCELED)]),
        )
        .returning(EXTERNAL_ID.task_id)
        .cte("freed")
    )


def end(worker: int, ended: Sequence[End]) -> Statement[tuple[int, Status]]:
    """Write runs that did not succeed. Gives back id and new status of those that were still this worker's."""
    return _end.bind(worker=worker, **_end_values(ended))


@template(read=scalar)
def _settle() -> Query[Any]:
    rows = _ends()
    locked = lock_fenced(rows, TASK.status == lit(Status.CANCELED))
    settled = (
        update(TASK)
        .set(TASK.seq, _NO_SEQ)
        .set(TASK.worker_id, None)
        .set(TASK.log, None)
        .from_(locked)
        .where(TASK.id == locked.id)
        .returning(TASK.id)
        .cte("settled")
    )
    recorded = _recorded(locked, lit(Status.CANCELED))
    return select(settled.id).with_(locked, settled, recorded).from_(settled)


def settle(worker: int, ended: Sequence[End]) -> Statement[int]:
    """The code of canceled tasks has stopped: free their rows. An outcome that comes too late counts as canceled."""
    late = [one._replace(outcome=RunOutcome.CANCELED) for one in ended]
    return _settle.bind(worker=worker, **_end_values(late))
