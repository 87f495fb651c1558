"""The raw SQL that goque is held against: no features, one process. Not for: comparing queues."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from psycopg.types.numeric import Int8

from benchmarks.servers import pinned

_TABLE = """
drop table if exists raw_task;
create table raw_task (
    id bigint primary key, status text not null default 'new', run_at timestamptz not null default now(),
    payload bytea, result bytea
);
create index on raw_task (id) where status = 'new';
"""
_CLAIM = """
with picked as materialized (
    select id from raw_task where status = 'new' order by id limit %s for update skip locked
)
update raw_task set status = 'processing' from picked where raw_task.id = picked.id
returning raw_task.id, raw_task.payload
"""
_DONE = """
update raw_task set status = 'done', result = v.result
from unnest(%s::bigint[], %s::bytea[]) v(id, result) where raw_task.id = v.id
"""


def enqueue(dsn: str, count: int, payload: bytes = b"x" * 40) -> float:
    """Rows per second of a binary COPY of rows like those of a map."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_TABLE)
        began = time.perf_counter()
        with connection.cursor().copy("copy raw_task (id, payload) from stdin (format binary)") as copy:
            copy.set_types(["int8", "bytea"])
            for number in range(count):
                copy.write_row((number, payload))
        return count / (time.perf_counter() - began)


def drain(dsn: str, batch: int = 100, result: bytes = b"r" * 30) -> float:
    """Tasks per second of claim (SKIP LOCKED) and complete, a batch at a time, in one process."""
    done = 0
    with pinned(dsn) as connection:
        began = time.perf_counter()
        while True:
            rows: list[Any] = connection.execute(_CLAIM, (batch,), prepare=True, binary=True).fetchall()
            if not rows:
                return done / (time.perf_counter() - began)
            connection.execute(_DONE, ([Int8(row[0]) for row in rows], [result] * len(rows)), prepare=True)
            done += len(rows)
