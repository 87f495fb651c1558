-- The queue: what is to be done, by whom it is being done, and how it went.
--
--   function     code, once per content and key            lane       what decides who may run a task, shared by many
--   batch        one map                                    task       one call; its id is batch * 10^9 + position
--   batch_items  digests of a named batch's items           run        a run that did not succeed
--   worker       who lives; counted, never timed            claim      which tasks a worker took, to find them when it is lost
--   tally        changes of counts by lane and status       dependency what must end before a task is released
--   external_id  who has an external id                     queue      pause and retention per queue
--   task_type    what workers told of the types they run    setting    facts about this database
--   schedule     when tasks are made by themselves          deployment what an app declared, and when it was seen first
--   maintenance  whose turn was when                       deleted_batch what is left of batches that are gone
--
-- task.seq is when the task became ready, in microseconds since 1970 on the database's clock. Positive: ready to be
-- claimed. Negative: taken by worker_id, until a final status (a canceled one: until its code has stopped). Null:
-- waiting for run_at or for inputs. Only (lane_id, seq), seq > 0 is indexed, so finishing a task touches no index.

create schema if not exists {schema};

create sequence {schema}.task_id as bigint minvalue 1 maxvalue 999999999999;
create sequence {schema}.batch_id as bigint minvalue 1000 maxvalue 9000000000;

create table {schema}.setting (
    name   text primary key,
    value  jsonb not null
);

create table {schema}.function (
    id            bigint generated always as identity primary key,
    hash          text not null,
    key_id        text not null,
    name          text not null,
    python        text not null,
    source_key    text not null,
    source        text,
    filename      text,
    first_line    integer,
    code          bytea not null,
    created_at    timestamptz not null default now(),
    last_used_at  timestamptz not null default now(),
    unique (hash, key_id)
);

-- Objects that many tasks share, once per content and key; the bytes in parts, so that no statement takes long.
create table {schema}.object (
    digest        text not null,
    key_id        text not null,
    owner         text not null,
    type          text not null,
    size          bigint not null,
    parts         integer not null,
    seal          bytea not null,
    created_at    timestamptz not null default now(),
    last_used_at  timestamptz not null default now(),
    primary key (digest, key_id)
);
create table {schema}.object_part (
    digest  text not null,
    key_id  text not null,
    number  integer not null,
    data    bytea not null,
    primary key (digest, key_id, number),
    foreign key (digest, key_id) references {schema}.object on delete cascade
);
alter table {schema}.object_part alter column data set storage external;

create table {schema}.batch (
    id             bigint primary key default nextval('{schema}.batch_id'),
    owner          text not null,
    name           text,
    created_at     timestamptz not null default now(),
    changed_at     timestamptz not null default now(),
    total          bigint not null check (total between 0 and 1000000000),
    type           text not null,
    kwargs         bytea,
    sameness       text[] not null default '{}',
    environment    jsonb not null default '{}',
    metadata       jsonb,
    keep_s         double precision,
    superseded_at  timestamptz,
    canceled_at    timestamptz,
    cancel_reason  text,
    changed_by     text,
    paused         boolean not null default false
);
create unique index batch_name on {schema}.batch (owner, name) where name is not null and superseded_at is null;

create table {schema}.batch_items (
    batch_id  bigint not null,
    first     bigint not null,
    digests   bytea not null,
    primary key (batch_id, first)
);

create table {schema}.lane (
    id             bigint generated always as identity primary key,
    digest         text not null,
    batch_id       bigint,
    queue          text not null,
    priority       integer not null default 0,
    type           text not null,
    function_id    bigint,
    python         text,
    tags           text[] not null default '{}',
    key_ids        text[] not null default '{}',
    objects        text[] not null default '{}',
    seal           bytea,
    policy         bytea,
    max_attempts   smallint not null default 3,
    timeout_s      double precision,
    keep_s         double precision,
    cwd            text,
    owner          text not null,
    paused         boolean not null default false,
    canceled_at    timestamptz,
    watched_until  timestamptz,
    lacking        text,
    traceparent    text,
    created_at     timestamptz not null default now(),
    last_used_at   timestamptz not null default now()
) with (fillfactor = 70);
create unique index lane_shared on {schema}.lane (digest) where batch_id is null;
create index lane_batch on {schema}.lane (batch_id) where batch_id is not null;
create index lane_queue on {schema}.lane (queue);
create index lane_function on {schema}.lane (function_id);

create table {schema}.task (
    id            bigint primary key default nextval('{schema}.task_id'),
    lane_id       bigint not null,
    seq           bigint,
    run_at        timestamptz,
    worker_id     bigint,
    run           integer not null default 0,
    attempts      smallint not null default 0,
    max_attempts  smallint not null default 3,
    losses        smallint not null default 0,
    handbacks     smallint not null default 0,
    status        text not null default 'new'
        check (status in ('new', 'pending', 'processing', 'done', 'error', 'attempts_left', 'canceled')),
    created_at    timestamptz not null default now(),
    started_at    timestamptz,
    finished_at   timestamptz,
    expires_at    timestamptz,
    same_as       bigint,
    external_id   text,
    args          bytea,
    payload       jsonb,
    result        bytea,
    cpu_s         double precision,
    max_rss_mb    double precision,
    log           text,
    progress      jsonb,
    checkpoint    bytea,
    metadata      jsonb,
    reason        text,
    changed_by    text,
    slot          timestamptz,
    traceparent   text,
    check (attempts <= max_attempts),
    check (seq is null or seq < 0 or status in ('new', 'error')),
    check (seq is null or run_at is null)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 1);
alter table {schema}.task alter column args set storage external;
alter table {schema}.task alter column result set storage external;
create index task_ready on {schema}.task (lane_id, seq) where seq > 0;
create index task_due on {schema}.task (run_at) where run_at is not null;
create index task_external_id on {schema}.task (external_id) where external_id is not null;
create index task_shares on {schema}.task (id) where same_as is not null;
create index task_followed on {schema}.task (same_as) where same_as is not null;

create table {schema}.run (
    task_id      bigint not null,
    run          integer not null,
    -- where the task was then, once a retry with another function or other options has moved it; else null
    lane_id      bigint,
    worker_id    bigint,
    attempt      smallint not null,
    status       text not null check (status in ('pending', 'done', 'error', 'canceled')),
    outcome      text not null check (outcome in ('done', 'error', 'timeout', 'crash', 'lost', 'lost_unknown',
                                                  'canceled', 'snoozed', 'handed_back')),
    started_at   timestamptz,
    finished_at  timestamptz not null default now(),
    error_type   text,
    error        text,
    user_frame   text,
    traceback    text,
    exception    bytea,
    result       bytea,
    args_repr    text,
    exit_signal  smallint,
    exit_code    integer,
    cpu_s        double precision,
    max_rss_mb   double precision,
    log          text,
    primary key (task_id, run)
);

create table {schema}.worker (
    id           bigint generated always as identity primary key,
    host         text not null,
    pid          integer not null,
    python       text not null,
    prefix       text not null,
    version      text not null,
    owner        text not null,
    pool         text not null,
    slots        integer not null,
    queues       text[],
    tags         text[] not null default '{}',
    key_ids      text[] not null default '{}',
    types        text[] not null default '{}',
    local        boolean not null default false,
    started_at   timestamptz not null default now(),
    beat_at      timestamptz not null default now(),
    missed       smallint not null default 0,
    running      integer not null default 0,
    buffered     integer not null default 0,
    lost_at      timestamptz,
    ended_at     timestamptz
) with (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
create index worker_alive on {schema}.worker (id) where ended_at is null and lost_at is null;

create table {schema}.claim (
    worker_id  bigint not null,
    number     bigint not null,
    task_ids   bigint[] not null,
    primary key (worker_id, number)
) with (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0);

create table {schema}.tally (
    lane_id        bigint not null,
    new            bigint not null default 0,
    pending        bigint not null default 0,
    processing     bigint not null default 0,
    done           bigint not null default 0,
    error          bigint not null default 0,
    attempts_left  bigint not null default 0,
    canceled       bigint not null default 0,
    changed_at     timestamptz not null default now()
) with (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0);
create index tally_lane on {schema}.tally (lane_id);

create table {schema}.dependency (
    input_id      bigint not null,
    dependant_id  bigint not null,
    primary key (input_id, dependant_id)
);
create index dependency_dependant on {schema}.dependency (dependant_id);

create table {schema}.external_id (
    type         text not null,
    external_id  text not null,
    task_id      bigint not null,
    primary key (type, external_id)
);
create index external_id_task on {schema}.external_id (task_id);

create table {schema}.queue (
    name            text primary key,
    paused          boolean not null default false,
    keep_done_s     double precision,
    keep_failed_s   double precision,
    keep_batches_s  double precision
);

-- Batch and lanes are gone, so that nobody sees its tasks; these are removed step by step.
create table {schema}.deleted_batch (
    id          bigint primary key,
    total       bigint not null,
    deleted_at  timestamptz not null default now()
);

create table {schema}.task_type (
    name          text primary key,
    queue         text not null default 'default',
    priority      integer not null default 0,
    max_attempts  smallint not null default 3,
    timeout_s     double precision,
    keep_s        double precision,
    tags          text[] not null default '{}',
    declared_at   timestamptz not null default now()
);

-- next_at is the first slot that was not made yet. Every change raises the revision, which is the fence of whoever read
-- the row before. A schedule that is not declared any more is retired, not deleted: it keeps its pause.
create table {schema}.schedule (
    name          text primary key,
    app           text not null,
    type          text not null,
    cron          text,
    every_s       double precision,
    tz            text not null,
    catch_up      text not null,
    run_on_start  boolean not null,
    payload       jsonb,
    deployed_at   timestamptz not null,
    next_at       timestamptz not null,
    last_at       timestamptz,
    paused        boolean not null default false,
    resumed_at    timestamptz,
    retired_at    timestamptz,
    revision      bigint not null default 0,
    check ((cron is null) <> (every_s is null)),
    check (catch_up in ('skip', 'one', 'all'))
);

create table {schema}.deployment (
    app      text not null,
    digest   text not null,
    version  bigint not null,
    seen_at  timestamptz not null default clock_timestamp(),
    primary key (app, digest)
);

create table {schema}.maintenance (
    name     text primary key,
    last_at  timestamptz not null default 'epoch',
    cursor   bigint not null default 0
);
insert into {schema}.maintenance (name) values ('heal'), ('clean'), ('fold');
insert into {schema}.maintenance (name) values ('declare');

-- For whoever writes SQL and no Python: one task of a named type, with the options that its workers declared unless
-- others are given; gives its id, or that of the task which has the external id. See docs/plain-sql.md.
create function {schema}.enqueue(
    type          text,
    payload       jsonb default 'null',
    queue         text default null,
    priority      integer default null,
    run_at        timestamptz default null,
    max_attempts  integer default null,
    external_id   text default null,
    metadata      jsonb default null
) returns bigint language plpgsql as $$
#variable_conflict use_column
declare
    new_id   bigint := nextval('{schema}.task_id');
    lane     {schema}.lane;
    ready    boolean := coalesce(enqueue.run_at <= now(), true);
begin
    if external_id is not null then
        loop
            insert into {schema}.external_id (type, external_id, task_id)
            values (enqueue.type, enqueue.external_id, new_id)
            on conflict do nothing;
            exit when found;
            -- A batch that is gone may have left it behind.
            delete from {schema}.external_id known using {schema}.deleted_batch gone
            where known.type = enqueue.type and known.external_id = enqueue.external_id
                and gone.id = known.task_id / 1000000000;
            continue when found;
            select task_id into new_id from {schema}.external_id known
            where known.type = enqueue.type and known.external_id = enqueue.external_id;
            if found then
                return new_id;
            end if;
            new_id := nextval('{schema}.task_id');
        end loop;
    end if;

    select into lane.queue, lane.priority, lane.max_attempts, lane.timeout_s, lane.keep_s, lane.tags
        coalesce(enqueue.queue, known.queue, 'default'),
        coalesce(enqueue.priority, known.priority, 0),
        coalesce(enqueue.max_attempts, known.max_attempts, 3),
        known.timeout_s,
        known.keep_s,
        coalesce(known.tags, '{}')
    from (select) one left join {schema}.task_type known on known.name = enqueue.type;

    -- Tasks that are alike share a lane; what makes them alike is its digest.
    insert into {schema}.lane as known
        (digest, queue, priority, type, tags, max_attempts, timeout_s, keep_s, owner)
    values (
        md5(json_build_array('sql', lane.queue, lane.priority, enqueue.type, lane.tags, lane.max_attempts,
                             lane.timeout_s, lane.keep_s::text, session_user)::text),
        lane.queue, lane.priority, enqueue.type, lane.tags, lane.max_attempts, lane.timeout_s, lane.keep_s, session_user
    )
    on conflict (digest) where batch_id is null do update set last_used_at = now()
    returning known.id into lane.id;

    insert into {schema}.task (id, lane_id, status, seq, run_at, max_attempts, external_id, metadata, payload)
    values (
        new_id, lane.id, case when ready then 'new' else 'pending' end,
        case when ready then (extract(epoch from clock_timestamp()) * 1000000)::bigint end,
        case when not ready then enqueue.run_at end,
        lane.max_attempts, enqueue.external_id, enqueue.metadata, enqueue.payload
    );
    insert into {schema}.tally (lane_id, new, pending) values (lane.id, ready::integer, (not ready)::integer);
    perform pg_notify(left('goque_' || trim('"' from '{schema}'), 63), case when ready then 'work:' else 'due:' end);
    return new_id;
end
$$;
