"""The tables of goque, declared as they are after all migrations. Not for: views for users (``sql.views``).

A test holds them against the catalog of a migrated database.
"""

from __future__ import annotations

from goque.model.states import RunOutcome, Status
from goque.sql.columns import Column, Table
from goque.sql.types import (
    BIGINT,
    BOOLEAN,
    BYTEA,
    DOUBLE,
    INTEGER,
    JSONB,
    SMALLINT,
    TEXT,
    TID,
    TIMESTAMPTZ,
    array,
    enum_text,
)


class SettingTable(Table):
    """Facts about this database."""

    name = Column(TEXT)
    value = Column(JSONB)


class FunctionTable(Table):
    """Code, once per content and key."""

    id = Column(BIGINT)
    hash = Column(TEXT)
    key_id = Column(TEXT)
    name = Column(TEXT)
    python = Column(TEXT)
    source_key = Column(TEXT)
    source = Column(TEXT, nullable=True)
    filename = Column(TEXT, nullable=True)
    first_line = Column(INTEGER, nullable=True)
    code = Column(BYTEA)
    created_at = Column(TIMESTAMPTZ)
    last_used_at = Column(TIMESTAMPTZ)


class BatchTable(Table):
    """One map."""

    id = Column(BIGINT)
    owner = Column(TEXT)
    name = Column(TEXT, nullable=True)
    created_at = Column(TIMESTAMPTZ)
    changed_at = Column(TIMESTAMPTZ)
    total = Column(BIGINT)
    type = Column(TEXT)
    kwargs = Column(BYTEA, nullable=True)
    sameness = Column(array(TEXT))
    environment = Column(JSONB)
    metadata = Column(JSONB, nullable=True)
    keep_s = Column(DOUBLE, nullable=True)
    superseded_at = Column(TIMESTAMPTZ, nullable=True)
    canceled_at = Column(TIMESTAMPTZ, nullable=True)
    cancel_reason = Column(TEXT, nullable=True)
    changed_by = Column(TEXT, nullable=True)
    paused = Column(BOOLEAN)


class BatchItemsTable(Table):
    """Digests of the items of a named batch, in pieces."""

    batch_id = Column(BIGINT)
    first = Column(BIGINT)
    digests = Column(BYTEA)


class LaneTable(Table):
    """What decides who may run a task, shared by many tasks."""

    id = Column(BIGINT)
    digest = Column(TEXT)
    batch_id = Column(BIGINT, nullable=True)
    queue = Column(TEXT)
    priority = Column(INTEGER)
    type = Column(TEXT)
    function_id = Column(BIGINT, nullable=True)
    python = Column(TEXT, nullable=True)
    tags = Column(array(TEXT))
    key_ids = Column(array(TEXT))
    objects = Column(array(TEXT))
    seal = Column(BYTEA, nullable=True)
    policy = Column(BYTEA, nullable=True)
    max_attempts = Column(SMALLINT)
    timeout_s = Column(DOUBLE, nullable=True)
    keep_s = Column(DOUBLE, nullable=True)
    cwd = Column(TEXT, nullable=True)
    owner = Column(TEXT)
    paused = Column(BOOLEAN)
    canceled_at = Column(TIMESTAMPTZ, nullable=True)
    watched_until = Column(TIMESTAMPTZ, nullable=True)
    lacking = Column(TEXT, nullable=True)
    traceparent = Column(TEXT, nullable=True)
    created_at = Column(TIMESTAMPTZ)
    last_used_at = Column(TIMESTAMPTZ)


class ObjectTable(Table):
    """Objects that tasks share."""

    digest = Column(TEXT)
    key_id = Column(TEXT)
    owner = Column(TEXT)
    type = Column(TEXT)
    size = Column(BIGINT)
    parts = Column(INTEGER)
    seal = Column(BYTEA)
    created_at = Column(TIMESTAMPTZ)
    last_used_at = Column(TIMESTAMPTZ)
    keep_s = Column(DOUBLE, nullable=True)


class ObjectNameTable(Table):
    """Names that stand for objects."""

    owner = Column(TEXT)
    name = Column(TEXT)
    digest = Column(TEXT)
    key_id = Column(TEXT)
    seal = Column(BYTEA)
    changed_at = Column(TIMESTAMPTZ)


class ObjectPartTable(Table):
    """The bytes of those objects, in order."""

    digest = Column(TEXT)
    key_id = Column(TEXT)
    number = Column(INTEGER)
    data = Column(BYTEA)


class TaskTable(Table):
    """One call."""

    id = Column(BIGINT)
    lane_id = Column(BIGINT)
    seq = Column(BIGINT, nullable=True)
    run_at = Column(TIMESTAMPTZ, nullable=True)
    worker_id = Column(BIGINT, nullable=True)
    run = Column(INTEGER)
    attempts = Column(SMALLINT)
    max_attempts = Column(SMALLINT)
    losses = Column(SMALLINT)
    handbacks = Column(SMALLINT)
    status = Column(enum_text(Status))
    created_at = Column(TIMESTAMPTZ)
    started_at = Column(TIMESTAMPTZ, nullable=True)
    finished_at = Column(TIMESTAMPTZ, nullable=True)
    expires_at = Column(TIMESTAMPTZ, nullable=True)
    same_as = Column(BIGINT, nullable=True)
    external_id = Column(TEXT, nullable=True)
    args = Column(BYTEA, nullable=True)
    payload = Column(JSONB, nullable=True)
    result = Column(BYTEA, nullable=True)
    cpu_s = Column(DOUBLE, nullable=True)
    max_rss_mb = Column(DOUBLE, nullable=True)
    log = Column(TEXT, nullable=True)
    progress = Column(JSONB, nullable=True)
    checkpoint = Column(BYTEA, nullable=True)
    metadata = Column(JSONB, nullable=True)
    reason = Column(TEXT, nullable=True)
    changed_by = Column(TEXT, nullable=True)
    slot = Column(TIMESTAMPTZ, nullable=True)
    traceparent = Column(TEXT, nullable=True)


class RunTable(Table):
    """A run that did not succeed; a success is told by its task."""

    task_id = Column(BIGINT)
    run = Column(INTEGER)
    lane_id = Column(BIGINT, nullable=True)
    worker_id = Column(BIGINT, nullable=True)
    attempt = Column(SMALLINT)
    status = Column(enum_text(Status))
    outcome = Column(enum_text(RunOutcome))
    started_at = Column(TIMESTAMPTZ, nullable=True)
    finished_at = Column(TIMESTAMPTZ)
    error_type = Column(TEXT, nullable=True)
    error = Column(TEXT, nullable=True)
    user_frame = Column(TEXT, nullable=True)
    traceback = Column(TEXT, nullable=True)
    exception = Column(BYTEA, nullable=True)
    result = Column(BYTEA, nullable=True)
    args_repr = Column(TEXT, nullable=True)
    exit_signal = Column(SMALLINT, nullable=True)
    exit_code = Column(INTEGER, nullable=True)
    cpu_s = Column(DOUBLE, nullable=True)
    max_rss_mb = Column(DOUBLE, nullable=True)
    log = Column(TEXT, nullable=True)


class WorkerTable(Table):
    """A worker, alive or not."""

    id = Column(BIGINT)
    host = Column(TEXT)
    pid = Column(INTEGER)
    python = Column(TEXT)
    prefix = Column(TEXT)
    version = Column(TEXT)
    owner = Column(TEXT)
    pool = Column(TEXT)
    slots = Column(INTEGER)
    queues = Column(array(TEXT), nullable=True)
    tags = Column(array(TEXT))
    key_ids = Column(array(TEXT))
    types = Column(array(TEXT))
    local = Column(BOOLEAN)
    started_at = Column(TIMESTAMPTZ)
    beat_at = Column(TIMESTAMPTZ)
    missed = Column(SMALLINT)
    running = Column(INTEGER)
    buffered = Column(INTEGER)
    lost_at = Column(TIMESTAMPTZ, nullable=True)
    ended_at = Column(TIMESTAMPTZ, nullable=True)


class ClaimTable(Table):
    """The tasks that one claim of a worker took."""

    worker_id = Column(BIGINT)
    number = Column(BIGINT)
    task_ids = Column(array(BIGINT))


class TallyTable(Table):
    """Changes of the number of tasks by lane and status; their sum is the count."""

    ctid = Column(TID)
    lane_id = Column(BIGINT)
    new = Column(BIGINT)
    pending = Column(BIGINT)
    processing = Column(BIGINT)
    done = Column(BIGINT)
    error = Column(BIGINT)
    attempts_left = Column(BIGINT)
    canceled = Column(BIGINT)
    changed_at = Column(TIMESTAMPTZ)


class DependencyTable(Table):
    """What must end before a task is released."""

    ctid = Column(TID)
    input_id = Column(BIGINT)
    dependant_id = Column(BIGINT)


class ExternalIdTable(Table):
    """Who has an external id."""

    type = Column(TEXT)
    external_id = Column(TEXT)
    task_id = Column(BIGINT)


class QueueTable(Table):
    """Pause and retention of a queue; ``*`` is all of them."""

    name = Column(TEXT)
    paused = Column(BOOLEAN)
    keep_done_s = Column(DOUBLE, nullable=True)
    keep_failed_s = Column(DOUBLE, nullable=True)
    keep_batches_s = Column(DOUBLE, nullable=True)


class DeletedBatchTable(Table):
    """A batch that is gone, of whose tasks some may be left."""

    id = Column(BIGINT)
    total = Column(BIGINT)
    deleted_at = Column(TIMESTAMPTZ)


class TaskTypeTable(Table):
    """What workers told of the types they run: the options of tasks whose submitters gave none."""

    name = Column(TEXT)
    queue = Column(TEXT)
    priority = Column(INTEGER)
    max_attempts = Column(SMALLINT)
    timeout_s = Column(DOUBLE, nullable=True)
    keep_s = Column(DOUBLE, nullable=True)
    tags = Column(array(TEXT))
    declared_at = Column(TIMESTAMPTZ)


class ScheduleTable(Table):
    """When tasks of a type are made by themselves, and how far that came."""

    name = Column(TEXT)
    app = Column(TEXT)
    type = Column(TEXT)
    cron = Column(TEXT, nullable=True)
    every_s = Column(DOUBLE, nullable=True)
    tz = Column(TEXT)
    catch_up = Column(TEXT)
    run_on_start = Column(BOOLEAN)
    payload = Column(JSONB, nullable=True)
    deployed_at = Column(TIMESTAMPTZ)
    next_at = Column(TIMESTAMPTZ)
    last_at = Column(TIMESTAMPTZ, nullable=True)
    paused = Column(BOOLEAN)
    resumed_at = Column(TIMESTAMPTZ, nullable=True)
    retired_at = Column(TIMESTAMPTZ, nullable=True)
    revision = Column(BIGINT)


class DeploymentTable(Table):
    """What an app declared, once per content, and when it was seen first."""

    app = Column(TEXT)
    digest = Column(TEXT)
    version = Column(BIGINT)
    seen_at = Column(TIMESTAMPTZ)


class MaintenanceTable(Table):
    """Whose turn was when."""

    name = Column(TEXT)
    last_at = Column(TIMESTAMPTZ)
    cursor = Column(BIGINT)


SETTING = SettingTable("setting")
FUNCTION = FunctionTable("function")
BATCH = BatchTable("batch")
BATCH_ITEMS = BatchItemsTable("batch_items")
LANE = LaneTable("lane")
TASK = TaskTable("task")
OBJECT = ObjectTable("object")
OBJECT_NAME = ObjectNameTable("object_name")
OBJECT_PART = ObjectPartTable("object_part")
RUN = RunTable("run")
WORKER = WorkerTable("worker")
CLAIM = ClaimTable("claim")
TALLY = TallyTable("tally")
DEPENDENCY = DependencyTable("dependency")
EXTERNAL_ID = ExternalIdTable("external_id")
QUEUE = QueueTable("queue")
DELETED_BATCH = DeletedBatchTable("deleted_batch")
TASK_TYPE = TaskTypeTable("task_type")
SCHEDULE = ScheduleTable("schedule")
DEPLOYMENT = DeploymentTable("deployment")
MAINTENANCE = MaintenanceTable("maintenance")
