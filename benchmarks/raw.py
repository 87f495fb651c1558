"""The raw SQL that goque is held against: no features, one process. Not for: comparing queues."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
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


def insert_singles(dsn: str, count: int, payload: bytes = b"x" * 40) -> float:
    """Rows per second, each by an INSERT and a commit of its own."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_TABLE)
        began = time.perf_counter()
        for number in range(count):
            connection.execute("insert into raw_task (id, payload) values (%s, %s)", (number, payload), prepare=True)
        return count / (time.perf_counter() - began)


def insert_pipelined(dsn: str, count: int, payload: bytes = b"x" * 40) -> float:
    """The same in the driver's pipeline, which commits them together."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_TABLE)
        began = time.perf_counter()
        with connection.pipeline():
            for number in range(count):
                connection.execute("insert into raw_task (id, payload) values (%s, %s)", (number, payload))
        return count / (time.perf_counter() - began)


def noise(size: int, count: int) -> list[bytes]:
    """So many values of so many bytes that no compression makes smaller."""
    return [os.urandom(size) for _ in range(count)]


def copy_in(dsn: str, values: Sequence[bytes]) -> float:
    """Seconds of a binary COPY of these values."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_TABLE)
        began = time.perf_counter()
        with connection.cursor().copy("copy raw_task (id, payload) from stdin (format binary)") as copy:
            copy.set_types(["int8", "bytea"])
            for number, value in enumerate(values):
                copy.write_row((number, value))
        return time.perf_counter() - began


def select_out(dsn: str) -> float:
    """Seconds of reading them back into a list, a few at a time, in order."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        began = time.perf_counter()
        with connection.cursor(binary=True) as cursor:
            query = "select id, payload from raw_task order by id"
            values = [value for _, value in cursor.stream(query, size=50)]
        assert values
        return time.perf_counter() - began
