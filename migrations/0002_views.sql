-- What people look at: one row per task, per run, per batch, per queue, per worker, per schedule.
--
-- The plural is the view, the singular the table. Arguments, results and code are in none of them. A success is told by
-- its task and every other run by a record in run; both are a row of the view runs. Counts are sums of tally, which
-- holds every change of a count, so that no view counts tasks.

create view {schema}.tasks as
select
    task.id,
    lane.type,
    task.status,
    lane.queue,
    lane.priority,
    lane.batch_id,
    coalesce(batch.name, batch.id::text) as batch,
    case when task.id >= 1000000000000 then task.id % 1000000000 end as position,
    task.external_id,
    lane.owner,
    task.attempts,
    task.max_attempts,
    task.run,
    coalesce(task.worker_id, last.worker_id) as worker_id,
    task.created_at,
    task.run_at,
    task.expires_at,
    coalesce(task.started_at, last.started_at) as started_at,
    task.finished_at,
    (waited.s + abs(waited.s)) / 2 as wait_s,
    extract(epoch from
        case
            when task.started_at is null then last.finished_at - last.started_at
            when task.status = 'processing' then clock_timestamp() - task.started_at
            else task.finished_at - task.started_at
        end)::double precision as run_s,
    coalesce(task.cpu_s, last.cpu_s) as cpu_s,
    coalesce(task.max_rss_mb, last.max_rss_mb) as max_rss_mb,
    case when task.status = 'done' and task.run > 0 then 'done' else last.outcome end as outcome,
    last.error_type,
    last.error,
    task.reason,
    task.changed_by,
    lane.tags,
    task.metadata,
    task.progress,
    task.same_as,
    task.slot
from {schema}.task
join {schema}.lane on lane.id = task.lane_id
left join {schema}.batch on batch.id = lane.batch_id
left join {schema}.run last on last.task_id = task.id and last.run = task.run
cross join lateral (
    select extract(epoch from coalesce(task.started_at, last.started_at))::double precision
           - case
                 when task.started_at is not null and task.seq is not null then abs(task.seq) / 1e6::double precision
                 when task.run = 1 then extract(epoch from task.created_at)::double precision
             end as s
) waited;

create view {schema}.runs as
select
    run.task_id,
    run.run,
    run.attempt::integer as attempt,
    run.status,
    run.outcome,
    coalesce(earlier.type, lane.type) as type,
    lane.queue,
    lane.batch_id,
    coalesce(batch.name, batch.id::text) as batch,
    case when task.id >= 1000000000000 then task.id % 1000000000 end as position,
    task.external_id,
    lane.owner,
    run.worker_id,
    worker.host,
    worker.pid,
    run.started_at,
    run.finished_at,
    case when run.run = 1 then (waited.s + abs(waited.s)) / 2 end as wait_s,
    extract(epoch from run.finished_at - run.started_at)::double precision as run_s,
    run.cpu_s,
    run.max_rss_mb,
    run.error_type,
    run.error,
    run.user_frame,
    run.traceback,
    run.args_repr,
    run.exit_signal,
    run.exit_code,
    run.log
from {schema}.run
join {schema}.task on task.id = run.task_id
join {schema}.lane on lane.id = task.lane_id
left join {schema}.lane earlier on earlier.id = run.lane_id
left join {schema}.batch on batch.id = lane.batch_id
left join {schema}.worker on worker.id = run.worker_id
cross join lateral (
    select extract(epoch from run.started_at - task.created_at)::double precision as s
) waited
union all
select
    task.id,
    task.run,
    case when task.status = 'done' then task.attempts else task.attempts + 1 end,
    task.status,
    case when task.status = 'done' then 'done' end,
    lane.type,
    lane.queue,
    lane.batch_id,
    coalesce(batch.name, batch.id::text),
    case when task.id >= 1000000000000 then task.id % 1000000000 end,
    task.external_id,
    lane.owner,
    task.worker_id,
    worker.host,
    worker.pid,
    task.started_at,
    case when task.status = 'done' then task.finished_at end,
    (waited.s + abs(waited.s)) / 2,
    extract(epoch from
        case when task.status = 'done' then task.finished_at else clock_timestamp() end - task.started_at
    )::double precision,
    task.cpu_s,
    task.max_rss_mb,
    null::text,
    null::text,
    null::text,
    null::text,
    null::text,
    null::smallint,
    null::integer,
    task.log
from {schema}.task
join {schema}.lane on lane.id = task.lane_id
left join {schema}.batch on batch.id = lane.batch_id
left join {schema}.worker on worker.id = task.worker_id
cross join lateral (
    select extract(epoch from task.started_at)::double precision
           - case
                 when task.seq is not null then abs(task.seq) / 1e6::double precision
                 when task.run = 1 then extract(epoch from task.created_at)::double precision
             end as s
) waited
-- The second is a canceled task whose code has not stopped yet.
where (task.status in ('done', 'processing') and task.run > 0)
   or (task.status = 'canceled' and task.seq < 0 and task.started_at is not null);

create view {schema}.batches as
select
    batch.id,
    batch.owner,
    batch.name,
    batch.type,
    batch.created_at,
    greatest(batch.changed_at, counts.changed_at) as changed_at,
    batch.total,
    counts.new,
    counts.pending,
    counts.processing,
    counts.done,
    counts.error,
    counts.attempts_left,
    counts.canceled,
    counts.new + counts.pending + counts.processing + counts.error as unfinished,
    batch.paused,
    batch.canceled_at,
    batch.cancel_reason,
    batch.changed_by,
    batch.superseded_at,
    batch.keep_s,
    batch.metadata
from {schema}.batch
cross join lateral (
    select
        coalesce(sum(tally.new), 0)::bigint as new,
        coalesce(sum(tally.pending), 0)::bigint as pending,
        coalesce(sum(tally.processing), 0)::bigint as processing,
        coalesce(sum(tally.done), 0)::bigint as done,
        coalesce(sum(tally.error), 0)::bigint as error,
        coalesce(sum(tally.attempts_left), 0)::bigint as attempts_left,
        coalesce(sum(tally.canceled), 0)::bigint as canceled,
        max(tally.changed_at) as changed_at
    from {schema}.lane
    join {schema}.tally on tally.lane_id = lane.id
    where lane.batch_id = batch.id
) counts;

-- Pausing '*' pauses every queue, also one that has no row of its own.
create view {schema}.queues as
select
    named.name,
    coalesce(queue.paused, false) or every.paused as paused,
    coalesce(counts.new, 0) as new,
    coalesce(counts.pending, 0) as pending,
    coalesce(counts.processing, 0) as processing,
    coalesce(counts.done, 0) as done,
    coalesce(counts.error, 0) as error,
    coalesce(counts.attempts_left, 0) as attempts_left,
    coalesce(counts.canceled, 0) as canceled,
    extract(epoch from clock_timestamp())::double precision - counts.oldest / 1e6::double precision as oldest_ready_s,
    queue.keep_done_s,
    queue.keep_failed_s,
    queue.keep_batches_s
from (
    select lane.queue as name from {schema}.lane
    union
    select queue.name from {schema}.queue where queue.name <> '*'
) named
left join {schema}.queue on queue.name = named.name
cross join (
    select exists (select from {schema}.queue where queue.name = '*' and queue.paused) as paused
) every
left join (
    select
        lane.queue,
        sum(sums.new)::bigint as new,
        sum(sums.pending)::bigint as pending,
        sum(sums.processing)::bigint as processing,
        sum(sums.done)::bigint as done,
        sum(sums.error)::bigint as error,
        sum(sums.attempts_left)::bigint as attempts_left,
        sum(sums.canceled)::bigint as canceled,
        min(ready.seq) as oldest
    from (
        select
            tally.lane_id,
            sum(tally.new) as new,
            sum(tally.pending) as pending,
            sum(tally.processing) as processing,
            sum(tally.done) as done,
            sum(tally.error) as error,
            sum(tally.attempts_left) as attempts_left,
            sum(tally.canceled) as canceled
        from {schema}.tally
        group by tally.lane_id
    ) sums
    join {schema}.lane on lane.id = sums.lane_id
    left join lateral (
        select task.seq from {schema}.task
        where task.lane_id = lane.id and task.seq > 0 and sums.new + sums.error > 0
        order by task.seq
        limit 1
    ) ready on true
    group by lane.queue
) counts on counts.queue = named.name;

create view {schema}.workers as
select
    worker.id,
    worker.host,
    worker.pid,
    worker.ended_at is null and worker.lost_at is null as alive,
    worker.pool,
    worker.slots,
    worker.running,
    worker.buffered,
    worker.queues,
    worker.tags,
    worker.key_ids,
    worker.types,
    worker.python,
    worker.prefix,
    worker.version,
    worker.owner,
    worker.local,
    worker.started_at,
    worker.beat_at,
    worker.missed,
    worker.lost_at,
    worker.ended_at
from {schema}.worker;

create view {schema}.schedules as
select
    schedule.name,
    schedule.app,
    schedule.type,
    schedule.cron,
    schedule.every_s,
    schedule.tz,
    schedule.catch_up,
    schedule.run_on_start,
    schedule.paused,
    case when not schedule.paused then schedule.next_at end as next_at,
    schedule.last_at,
    schedule.deployed_at
from {schema}.schedule
where schedule.retired_at is null;
