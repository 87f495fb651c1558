-- What waits for a worker or for its time, and may expire while it does. Few tasks may, and no column in it is new to the
-- indexes, so that others pay nothing.

create index task_expiring on {schema}.task (expires_at)
    where expires_at is not null and (seq > 0 or run_at is not null);
