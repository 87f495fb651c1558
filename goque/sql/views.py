"""The views for users, declared as the migrations make them: ``tasks``, ``runs``, ``batches``, ``queues``, ``workers``,
``schedules``.

Not for: the tables behind them, which are named in the singular (``sql.tables``). A test holds the declarations
against the catalog of a migrated database.
"""

from __future__ import annotations

from goque.errors import InvalidInput
from goque.model.states import RunOutcome, Status
from goque.sql.columns import Column, Table
from goque.sql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, JSONB, SMALLINT, TEXT, TIMESTAMPTZ, array, enum_text


class TasksView(Table):
    """One row per task. Times, measures and error are those of its last run; ``run_s`` goes on while it runs."""

    id = Column(BIGINT)
    type = Column(TEXT)
    status = Column(enum_text(Status))
    queue = Column(TEXT)
    priority = Column(INTEGER)
    batch_id = Column(BIGINT, nullable=True)
    batch = Column(TEXT, nullable=True)
    position = Column(BIGINT, nullable=True)
    external_id = Column(TEXT, nullable=True)
    owner = Column(TEXT)
    attempts = Column(SMALLINT)
    max_attempts = Column(SMALLINT)
    run = Column(INTEGER)
    worker_id = Column(BIGINT, nullable=True)
    created_at = Column(TIMESTAMPTZ)
    run_at = Column(TIMESTAMPTZ, nullable=True)
    expires_at = Column(TIMESTAMPTZ, nullable=True)
    started_at = Column(TIMESTAMPTZ, nullable=True)
    finished_at = Column(TIMESTAMPTZ, nullable=True)
    wait_s = Column(DOUBLE, nullable=True)
    run_s = Column(DOUBLE, nullable=True)
    cpu_s = Column(DOUBLE, nullable=True)
    max_rss_mb = Column(DOUBLE, nullable=True)
    outcome = Column(enum_text(RunOutcome), nullable=True)
    error_type = Column(TEXT, nullable=True)
    error = Column(TEXT, nullable=True)
    reason = Column(TEXT, nullable=True)
    changed_by = Column(TEXT, nullable=True)
    tags = Column(array(TEXT))
    metadata = Column(JSONB, nullable=True)
    progress = Column(JSONB, nullable=True)
    same_as = Column(BIGINT, nullable=True)
    slot = Column(TIMESTAMPTZ, nullable=True)


class RunsView(Table):
    """One row per run: those that ended, successes included, and those that go on (no ``outcome`` yet)."""

    task_id = Column(BIGINT)
    run = Column(INTEGER)
    attempt = Column(INTEGER)
    status = Column(enum_text(Status))
    outcome = Column(enum_text(RunOutcome), nullable=True)
    type = Column(TEXT)
    queue = Column(TEXT)
    batch_id = Column(BIGINT, nullable=True)
    batch = Column(TEXT, nullable=True)
    position = Column(BIGINT, nullable=True)
    external_id = Column(TEXT, nullable=True)
    owner = Column(TEXT)
    worker_id = Column(BIGINT, nullable=True)
    host = Column(TEXT, nullable=True)
    pid = Column(INTEGER, nullable=True)
    started_at = Column(TIMESTAMPTZ, nullable=True)
    finished_at = Column(TIMESTAMPTZ, nullable=True)
    wait_s = Column(DOUBLE, nullable=True)
    run_s = Column(DOUBLE, nullable=True)
    cpu_s = Column(DOUBLE, nullable=True)
    max_rss_mb = Column(DOUBLE, nullable=True)
    error_type = Column(TEXT, nullable=True)
    error = Column(TEXT, nullable=True)
    user_frame = Column(TEXT, nullable=True)
    traceback = Column(TEXT, nullable=True)
    args_repr = Column(TEXT, nullable=True)
    exit_signal = Column(SMALLINT, nullable=True)
    exit_code = Column(INTEGER, nullable=True)
    log = Column(TEXT, nullable=True)


class BatchesView(Table):
    """One row per map, with the number of its tasks in each status."""

    id = Column(BIGINT)
    owner = Column(TEXT)
    name = Column(TEXT, nullable=True)
    type = Column(TEXT)
    created_at = Column(TIMESTAMPTZ)
    changed_at = Column(TIMESTAMPTZ)
    total = Column(BIGINT)
    new = Column(BIGINT)
    pending = Column(BIGINT)
    processing = Column(BIGINT)
    done = Column(BIGINT)
    error = Column(BIGINT)
    attempts_left = Column(BIGINT)
    canceled = Column(BIGINT)
    unfinished = Column(BIGINT)
    paused = Column(BOOLEAN)
    canceled_at = Column(TIMESTAMPTZ, nullable=True)
    cancel_reason = Column(TEXT, nullable=True)
    changed_by = Column(TEXT, nullable=True)
    superseded_at = Column(TIMESTAMPTZ, nullable=True)
    keep_s = Column(DOUBLE, nullable=True)
    metadata = Column(JSONB, nullable=True)


class QueuesView(Table):
    """One row per queue: its tasks in each status, and for how many seconds the oldest ready one has been waiting."""

    name = Column(TEXT)
    paused = Column(BOOLEAN)
    new = Column(BIGINT)
    pending = Column(BIGINT)
    processing = Column(BIGINT)
    done = Column(BIGINT)
    error = Column(BIGINT)
    attempts_left = Column(BIGINT)
    canceled = Column(BIGINT)
    oldest_ready_s = Column(DOUBLE, nullable=True)
    keep_done_s = Column(DOUBLE, nullable=True)
    keep_failed_s = Column(DOUBLE, nullable=True)
    keep_batches_s = Column(DOUBLE, nullable=True)


class WorkersView(Table):
    """One row per worker, alive or not."""

    id = Column(BIGINT)
    host = Column(TEXT)
    pid = Column(INTEGER)
    alive = Column(BOOLEAN)
    pool = Column(TEXT)
    slots = Column(INTEGER)
    running = Column(INTEGER)
    buffered = Column(INTEGER)
    queues = Column(array(TEXT), nullable=True)
    tags = Column(array(TEXT))
    key_ids = Column(array(TEXT))
    types = Column(array(TEXT))
    python = Column(TEXT)
    prefix = Column(TEXT)
    version = Column(TEXT)
    owner = Column(TEXT)
    local = Column(BOOLEAN)
    started_at = Column(TIMESTAMPTZ)
    beat_at = Column(TIMESTAMPTZ)
    missed = Column(SMALLINT)
    lost_at = Column(TIMESTAMPTZ, nullable=True)
    ended_at = Column(TIMESTAMPTZ, nullable=True)


class SchedulesView(Table):
    """One row per schedule that is declared. ``last_at`` is the last slot a task was made for."""

    name = Column(TEXT)
    app = Column(TEXT)
    type = Column(TEXT)
    cron = Column(TEXT, nullable=True)
    every_s = Column(DOUBLE, nullable=True)
    tz = Column(TEXT)
    catch_up = Column(TEXT)
    run_on_start = Column(BOOLEAN)
    paused = Column(BOOLEAN)
    next_at = Column(TIMESTAMPTZ, nullable=True)
    last_at = Column(TIMESTAMPTZ, nullable=True)
    deployed_at = Column(TIMESTAMPTZ)


tasks = TasksView("tasks")
runs = RunsView("runs")
batches = BatchesView("batches")
queues = QueuesView("queues")
workers = WorkersView("workers")
schedules = SchedulesView("schedules")

_VIEWS: dict[str, Table] = {
    "tasks": tasks,
    "runs": runs,
    "batches": batches,
    "queues": queues,
    "workers": workers,
    "schedules": schedules,
}


def view_called(name: str) -> Table:
    """The view of this name.

    Raises:
        InvalidInput: there is none.
    """
    if name not in _VIEWS:
        raise InvalidInput(
            f"there is no view {name!r} to read from; say which one with .from_(...): {', '.join(_VIEWS)}"
        )
    return _VIEWS[name]
