"""History and its like as frames: every run is there once, dtypes never change, filters mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pandas as pd
import pytest

from goque.errors import HistoryTruncated, InvalidInput
from goque.history import fetching, frames
from goque.history.dtypes import MOMENT, OUTCOME, STATUS, TEXTS
from goque.model.states import Status
from goque.postgres.database import Database
from goque.queries import chronicle, looking
from goque.queries.filters import filters_of
from goque.sql import avg, count, runs, select, tasks
from goque.sql.statement import Statement

DTYPES: dict[str, Any] = (
    dict.fromkeys(("task_id", "run", "position", "priority", "worker", "pid"), pd.Int64Dtype())
    | dict.fromkeys(("failed", "final"), pd.BooleanDtype())
    | dict.fromkeys(("created_at", "run_at", "started_at", "finished_at"), MOMENT)
    | dict.fromkeys(("wait_s", "run_s", "cpu_s", "max_rss_mb"), "float64")
    | {"status": STATUS, "task_status": STATUS, "outcome": OUTCOME, "metadata": "object"}
    | dict.fromkeys(
        ("batch", "queue", "type", "external_id", "owner", "host", "error_type", "error", "traceback", "args_repr"),
        TEXTS,
    )
    | {"log_tail": TEXTS}
)

# One batch "nightly" of ada: done, failed for good after a retry, running, never run, canceled unrun. And a single task
# of another lane, done, then retried by force, done again.
STORY = """
    INSERT INTO goque.batch (id, owner, name, total, type) VALUES (1000, 'ada', 'nightly', 5, 'jobs.parse'),
                                                                  (1001, 'bob', null, 0, 'jobs.other');
    INSERT INTO goque.lane (id, digest, batch_id, queue, type, owner, priority) OVERRIDING SYSTEM VALUE
    VALUES (1, 'a', 1000, 'etl', 'jobs.parse', 'ada', 5), (2, 'b', null, 'default', 'jobs.mail', 'bob', 0);
    INSERT INTO goque.worker (id, host, pid, python, prefix, version, owner, pool, slots) OVERRIDING SYSTEM VALUE
    VALUES (7, 'mill', 4711, '3.11', '/', '0', 'ada', 'process', 2);
    INSERT INTO goque.task (id, lane_id, seq, worker_id, run, attempts, status, created_at, started_at, finished_at,
                            external_id, log, metadata, reason)
    VALUES (1000000000000, 1, -extract(epoch from timestamptz '2026-01-01 10:00Z') * 1e6, 7, 1, 1, 'done',
            '2026-01-01 09:00Z', '2026-01-01 10:00:02Z', '2026-01-01 10:00:05Z', null, 'hello',
            '{"a": [1, "ü"]}', null),
           (1000000000001, 1, null, null, 2, 2, 'attempts_left', '2026-01-01 09:00Z', null, '2026-01-01 10:00:09Z',
            'order-1', null, null, null),
           (1000000000002, 1, -extract(epoch from timestamptz '2026-01-01 10:00Z') * 1e6, 7, 1, 0, 'processing',
            '2026-01-01 09:00Z', now() - interval '5 s', null, null, null, null, null),
           (1000000000003, 1, 1, null, 0, 0, 'new', '2026-01-01 09:00Z', null, null, null, null, null, null),
           (1000000000004, 1, null, null, 0, 0, 'canceled', '2026-01-01 09:00Z', null, '2026-01-01 09:30Z', null, null,
            null, 'not wanted'),
           (5, 2, -1, 7, 2, 1, 'done', '2026-01-02 09:00Z', '2026-01-02 09:00:02Z', '2026-01-02 09:00:03Z', null, null,
            null, null);
    INSERT INTO goque.run (task_id, run, worker_id, attempt, status, outcome, started_at, finished_at, error_type,
                           error, user_frame, traceback, args_repr)
    VALUES (1000000000001, 1, 7, 1, 'error', 'error', '2026-01-01 09:00:01Z', '2026-01-01 09:00:03Z', 'ValueError',
            'bad Value', 'f.py:3', 'Traceback 1', '(1,)'),
           (1000000000001, 2, 7, 2, 'error', 'timeout', '2026-01-01 10:00:01Z', '2026-01-01 10:00:09Z', null,
            'took too long', 'f.py:4', null, '(1,)'),
           (5, 1, 7, 1, 'done', 'done', '2026-01-02 08:00Z', '2026-01-02 08:01Z', null, null, null, null, null);
    INSERT INTO goque.tally (lane_id, done, attempts_left, processing, new, canceled) VALUES (1, 1, 1, 1, 1, 1);
    INSERT INTO goque.tally (lane_id, done) VALUES (2, 1);
"""


def write(database: Database, text: str) -> None:
    for part in text.split(";\n"):
        if part.strip():
            database.run(Statement(part, {}, tuple, "story"))


@pytest.fixture(scope="module")
def told(shared: Database) -> Database:
    """A database with the story in it, to be read."""
    write(shared, STORY)
    return shared


@pytest.fixture
def retold(database: Database) -> Database:
    """The same for one test, which adds to it."""
    write(database, STORY)
    return database


def keys(frame: pd.DataFrame) -> list[tuple[int, int | None, str]]:
    """Task, run and status of each row."""
    return [
        (int(row.task_id) % 1_000_000_000, None if row.run is pd.NA else int(row.run), row.status)
        for row in frame.itertuples()
    ]


def test_each_run_and_each_task_that_has_not_run_is_one_row_newest_task_first(told: Database) -> None:
    assert keys(frames.history(told)) == [
        (5, 2, "done"),
        (5, 1, "done"),
        (4, None, "canceled"),
        (3, None, "new"),
        (2, 1, "processing"),
        (1, 2, "error"),
        (1, 1, "error"),
        (0, 1, "done"),
    ]


def test_filters_that_exclude_each_other_find_nothing(told: Database) -> None:
    assert frames.history(told, status="new", error_type="ValueError").empty


def test_history_has_the_same_columns_and_dtypes_full_and_empty(told: Database) -> None:
    for frame in (frames.history(told), frames.history(told, batch="nobody's")):
        assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
            name: str(pd.Series([], dtype=DTYPES[name]).dtype) for name in chronicle.HISTORY
        }
        assert frame["status"].dtype == STATUS
        assert str(frame["created_at"].dtype) == "datetime64[us, UTC]"


def test_a_row_says_when_where_and_how_its_run_went(told: Database) -> None:
    by_key = {
        key[:2]: row for key, row in zip(keys(frames.history(told)), frames.history(told).itertuples(), strict=True)
    }
    done, timeout, unrun = by_key[0, 1], by_key[1, 2], by_key[4, None]
    assert (done.outcome, done.wait_s, done.run_s, done.worker, done.host, done.pid) == ("done", 2, 3, 7, "mill", 4711)
    assert (done.batch, done.position, done.queue, done.priority, done.owner) == ("nightly", 0, "etl", 5, "ada")
    assert (done.metadata, done.log_tail, done.failed, done.final) == ({"a": [1, "ü"]}, "hello", False, True)
    assert (timeout.outcome, timeout.task_status, timeout.failed, timeout.error) == (
        "timeout",
        "attempts_left",
        True,
        "took too long",
    )
    assert pd.isna(timeout.wait_s)
    assert by_key[1, 1].wait_s == 1
    assert (unrun.error, unrun.metadata, pd.isna(unrun.outcome), unrun.finished_at) == (
        "not wanted",
        None,
        True,
        pd.Timestamp("2026-01-01 09:30Z"),
    )
    assert by_key[2, 1].run_s >= 5
    assert by_key[2, 1].finished_at is pd.NaT


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"status": "error"}, [(1, 2), (1, 1)]),
        ({"status": ["done", "new"]}, [(5, 2), (5, 1), (3, None), (0, 1)]),
        ({"failed": True}, [(1, 2), (1, 1)]),
        ({"failed": True, "status": "done"}, []),
        ({"failed": False, "queue": "etl"}, [(4, None), (3, None), (2, 1), (0, 1)]),
        ({"task_status": "attempts_left"}, [(1, 2), (1, 1)]),
        ({"outcome": "timeout"}, [(1, 2)]),
        ({"outcome": "done"}, [(5, 2), (5, 1), (0, 1)]),
        ({"queue": "default"}, [(5, 2), (5, 1)]),
        ({"type": ["jobs.mail"]}, [(5, 2), (5, 1)]),
        ({"owner": "bob"}, [(5, 2), (5, 1)]),
        ({"batch": "nightly", "status": "done"}, [(0, 1)]),
        ({"batch": "ada/nightly", "status": "done"}, [(0, 1)]),
        ({"batch": "bob/nightly"}, []),
        ({"batch": 1000, "status": "done"}, [(0, 1)]),
        ({"batch": []}, []),
        ({"task": 5}, [(5, 2), (5, 1)]),
        ({"external_id": "order-1"}, [(1, 2), (1, 1)]),
        ({"error_type": "ValueError"}, [(1, 1)]),
        ({"error": "VALUE"}, [(1, 1)]),
        ({"error": "100%"}, []),
        ({"worker": 7, "batch": 1000}, [(2, 1), (1, 2), (1, 1), (0, 1)]),
        ({"worker": "mill", "batch": 1000}, [(2, 1), (1, 2), (1, 1), (0, 1)]),
        ({"worker": "elsewhere"}, []),
        ({"since": "1h"}, [(2, 1)]),
        ({"since": datetime(2026, 1, 2, tzinfo=UTC), "until": timedelta(minutes=1)}, [(5, 2), (5, 1)]),
        ({"attempts": 2}, [(1, 2), (1, 1)]),
        ({"attempts": [0, 1], "queue": "default"}, [(5, 2), (5, 1)]),
        ({"longer_than": "4s"}, [(5, 1), (2, 1), (1, 2)]),
        ({"longer_than": 7, "status": "error"}, [(1, 2)]),
        ({"metadata": {"a": [1]}}, [(0, 1)]),
        ({"metadata": {"a": [2]}}, []),
        ({"metadata": {}}, [(0, 1)]),
        ({"order_by": "task_id", "batch": 1000, "limit": 2}, [(0, 1), (1, 1)]),
        ({"order_by": "-task_id", "after": (1_000_000_000_001, 2), "limit": 2}, [(1, 1), (0, 1)]),
        ({"order_by": "-run_s", "status": "error"}, [(1, 2), (1, 1)]),
        ({"order_by": ["started_at"], "batch": 1000, "outcome": ["error", "timeout"]}, [(1, 1), (1, 2)]),
    ],
    ids=str,
)
def test_a_filter_leaves_the_rows_that_it_names(
    told: Database, filters: dict[str, Any], expected: list[tuple[int, int | None]]
) -> None:
    frame = frames.history(told, columns=["task_id", "run", "status"], **filters)
    assert [key[:2] for key in keys(frame)] == expected


@pytest.mark.parametrize(
    ("look", "filters", "expected"),
    [
        (frames.tasks, {"since": datetime(2026, 1, 2, tzinfo=UTC), "until": "1h"}, [5]),
        (frames.tasks, {"until": datetime(2026, 1, 1, 9, 45, tzinfo=UTC)}, [4, 3]),
        (frames.tasks, {"external_id": "order-1"}, [1]),
        (frames.tasks, {"worker": 7}, [5, 2, 0]),
        (frames.tasks, {"longer_than": "4s", "order_by": "id"}, [2]),
        (frames.tasks, {"task": [5, 6], "metadata": {}}, []),
        (frames.batches, {"failed": True}, [1000]),
        (frames.batches, {"status": ["done", "pending"]}, [1000]),
        (frames.batches, {"owner": ["bob", "eve"]}, [1001]),
        (frames.batches, {"type": "jobs.parse"}, [1000]),
        (frames.batches, {"batch": ["nightly", 1001]}, [1001, 1000]),
        (frames.batches, {"since": "1h"}, [1001, 1000]),
        (frames.batches, {"until": "1h"}, []),
        (frames.batches, {"metadata": {"a": 1}}, []),
        (frames.workers, {"since": "1h", "alive": True}, [7]),
        (frames.workers, {"until": "1h"}, []),
        (frames.workers, {"alive": False}, []),
        (frames.workers, {"owner": "bob"}, []),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_tasks_batches_and_workers_are_filtered_likewise(
    told: Database, look: Callable[..., pd.DataFrame], filters: dict[str, Any], expected: list[int]
) -> None:
    assert [int(id) % 1_000_000_000 for id in look(told, **filters)["id"]] == expected


def test_columns_are_those_asked_for_in_that_order(told: Database) -> None:
    assert list(frames.history(told, columns=["run_s", "task_id"]).columns) == ["run_s", "task_id"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"statsu": "error"}, "status"),
        ({"status": "erorr"}, "error"),
        ({"outcome": "timeuot"}, "timeout"),
        ({"columns": ["tasq_id"]}, "task_id"),
        ({"order_by": "-runs_s"}, "run_s"),
        ({"since": datetime(2026, 1, 1)}, "aware"),
        ({"since": "soon"}, "duration"),
        ({"limit": "5"}, "whole number"),
        ({"failed": "yes"}, "True or False"),
        ({"task": "5"}, "ids"),
        ({"attempts": "2"}, "whole number"),
        ({"longer_than": "long"}, "duration"),
        ({"metadata": "a"}, "mapping"),
        ({"metadata": {"a": 1j}}, "plain JSON"),
        ({"after": 5}, 'order_by="-task_id"'),
        ({"after": 5, "order_by": ["-task_id", "run"]}, 'order_by="-task_id"'),
        ({"after": "5", "order_by": "task_id"}, "ids"),
    ],
    ids=str,
)
def test_a_wrong_filter_names_what_would_do(told: Database, wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        frames.history(told, **wrong)


def test_a_limit_that_cuts_says_how_many_rows_and_failures_are_missing(told: Database) -> None:
    with pytest.warns(HistoryTruncated, match=r"6 rows, 2 of them"):
        assert keys(frames.history(told, limit=2)) == [(5, 2, "done"), (5, 1, "done")]


def test_of_very_many_rows_those_are_counted_that_a_look_may_cost(
    told: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_COUNTED", 3)
    with pytest.warns(HistoryTruncated, match=r"over 3 rows, 2 of them"):
        frames.history(told, limit=2)


def test_a_limit_that_cuts_nothing_does_not_warn(told: Database, recwarn: pytest.WarningsRecorder) -> None:
    assert len(frames.history(told, limit=8)) == 8
    assert not [warning for warning in recwarn if issubclass(warning.category, HistoryTruncated)]


def test_tasks_are_one_row_each_with_their_last_run(told: Database) -> None:
    frame = frames.tasks(told).set_index("id")
    assert list(frame.index) == [5, *range(1_000_000_000_004, 999_999_999_999, -1)]
    failed = frame.loc[1_000_000_000_001]
    assert (failed.status, failed.failed, failed.final, failed.outcome) == ("attempts_left", True, True, "timeout")
    assert (failed.run_s, failed.worker_id, failed.tags) == (8, 7, [])
    assert frames.tasks(told, failed=True)["id"].tolist() == [1_000_000_000_001]
    assert frames.tasks(told, batch="none").dtypes.equals(frames.tasks(told).dtypes)


def test_the_view_of_runs_agrees_with_history(told: Database) -> None:
    columns = (
        "task_id",
        "run",
        "status",
        "outcome",
        "batch",
        "position",
        "started_at",
        "finished_at",
        "wait_s",
        "error",
    )
    query = select(*(getattr(runs, name) for name in columns)).from_(runs).order_by(runs.task_id, runs.run)
    history = frames.history(told, columns=columns, order_by=["task_id", "run"])
    ran = history[history.run.notna()].reset_index(drop=True)
    pd.testing.assert_frame_equal(frames.frame_of(told, query), ran)


def test_errors_are_grouped_with_a_sample(told: Database) -> None:
    frame = frames.errors(told, spans=[looking.span_of(1000)])
    assert len(frame) == 1
    row = frame.iloc[0]
    assert row[["error_type", "user_frame", "error", "count"]].tolist() == ["timeout", "f.py:4", "took too long", 1]
    assert row.task_id == 1_000_000_000_001
    assert frames.errors(told, spans=[]).dtypes.equals(frame.dtypes)


def test_queues_batches_and_workers_count_without_counting_rows(retold: Database) -> None:
    write(retold, "INSERT INTO goque.queue (name, paused) VALUES ('default', true)")
    queue = frames.queues(retold).set_index("name")
    assert queue.loc["etl", ["new", "done", "paused"]].tolist() == [1, 1, False]
    assert queue.loc["default", ["new", "done", "paused"]].tolist() == [0, 1, True]
    assert queue.loc["etl", "oldest_ready_s"] > 0
    assert pd.isna(queue.loc["default", "oldest_ready_s"])
    assert frames.batches(retold)["id"].tolist() == [1001, 1000]
    assert frames.batches(retold, batch="nightly")["unfinished"].tolist() == [2]
    assert frames.workers(retold, alive=True)["pid"].tolist() == [4711]
    assert frames.workers(retold, alive=False).dtypes.equals(frames.workers(retold).dtypes)


def test_a_query_of_ones_own_gets_dtypes_from_its_columns(told: Database) -> None:
    query = select(tasks.status, count(), avg(tasks.run_s)).from_(tasks).group_by(tasks.status).order_by(tasks.status)
    frame = frames.frame_of(told, query)
    assert frame["status"].dtype == STATUS
    assert frame.set_index("status")["count"].to_dict() == {
        "attempts_left": 1,
        "canceled": 1,
        "done": 2,
        "new": 1,
        "processing": 1,
    }


TRICKY = """
    INSERT INTO goque.lane (id, digest, queue, type, owner) OVERRIDING SYSTEM VALUE VALUES (1, 'a', '', 'x', 'NaN');
    INSERT INTO goque.task (id, lane_id, status, created_at, metadata)
    SELECT n, 1, 'new', '2026-01-01 00:00:00.123457Z', null FROM generate_series(1, 4) n;
    INSERT INTO goque.task (id, lane_id, status, run, cpu_s, max_rss_mb, started_at, finished_at, log, metadata)
    VALUES (9007199254740993, 1, 'done', 1, 'NaN', 0.1, '1969-12-31 23:59:59.999999Z', '2099-12-31 23:59:59.999999Z',
            E'a,"b"\\n\\r\\\\N\\t', '{"t": "\\"\\n", "n": null, "big": 9007199254740993}'),
           (9223372036854775806, 1, 'done', 1, 'Infinity', 1e300, null, null, '', '"text"'),
           (9223372036854775805, 1, 'done', 1, 0.1, 123456789.123456789, null, null, 'NULL', 'null'),
           (9223372036854775804, 1, 'done', 1, -0.0, null, null, null, ' 😀 NaN', '[]');
"""
WAYS = {"pandas": fetching.by_pandas_csv, "arrow": fetching.by_arrow_csv}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_fetching_gives_the_same_frame(database: Database, way: str) -> None:
    fetch = WAYS[way]
    write(database, TRICKY)
    columns = (None, ["log_tail"], ["cpu_s"], ["metadata"], ["run_at"])
    for some, (more, rows) in product(columns, (({}, 8), ({"type": "none"}, 0))):
        given = {"columns": some, "since": datetime(1900, 1, 1, tzinfo=UTC), "queue": ["", 'a"\\,{}']}
        filters = filters_of(given | more, what="history", without=(), columns=chronicle.HISTORY)
        query = chronicle.history(filters)
        values = chronicle.values(looking.EVERYTHING)
        expected = fetching.by_rows(database, query, "history", values)
        assert len(expected) == rows
        pd.testing.assert_frame_equal(fetch(database, query, "history", values), expected, check_exact=True)


def test_an_empty_text_is_not_a_missing_one(database: Database) -> None:
    write(database, TRICKY)
    for few in (True, False):
        query = chronicle.history(filters_of({}, what="history", without=(), columns=chronicle.HISTORY))
        values = chronicle.values(looking.EVERYTHING)
        frame = fetching.fetch(database, query, name="history", values=values, few=few).set_index("task_id")
        assert frame.loc[9223372036854775806, "log_tail"] == ""
        assert frame["log_tail"].isna().sum() == 4
        assert frame.loc[9007199254740993, "metadata"]["big"] == 9007199254740993
        assert frame.loc[9007199254740993, "finished_at"] == pd.Timestamp("2099-12-31 23:59:59.999999Z")


def test_a_task_and_a_batch_narrow_together(told: Database) -> None:
    assert frames.history(told, batch=1000, task=5).empty
    assert len(frames.history(told, batch=1000, task=1_000_000_000_000)) == 1


@pytest.mark.parametrize("impossible", [0, 999, 10**10, -1])
def test_what_can_be_no_batch_gives_an_empty_frame(told: Database, impossible: int) -> None:
    assert frames.history(told, batch=impossible).empty


def test_a_part_of_the_ids_shows_only_that_part(told: Database) -> None:
    shown = frames.history(told, within=[(1_000_000_000_001, 1_000_000_000_002)])
    assert sorted(set(shown["task_id"])) == [1_000_000_000_001, 1_000_000_000_002]


def test_a_frame_says_what_it_shows(told: Database) -> None:
    shown = frames.history(told, status="error", limit=5).attrs
    assert shown["filters"] == {"status": frozenset({Status.ERROR}), "limit": 5}
    assert datetime.fromisoformat(shown["as_of"]).tzinfo is not None


def test_the_warning_counts_failures_also_without_their_column(told: Database) -> None:
    failures = int(frames.history(told)["failed"].sum())
    with pytest.warns(HistoryTruncated, match=f"; {failures} failures there are in all"):
        frames.history(told, columns=["task_id"], limit=1)


def test_rows_of_python_values_keep_whole_numbers_and_the_order_of_statuses() -> None:
    frame = frames.rows_frame({"status": ["done", "new"], "value": [2**60 + 1, None], "mixed": [1, 0.5]})
    assert frame["value"][0] == 2**60 + 1
    assert frame["value"].isna().tolist() == [False, True]
    assert (frame["status"] < "done").tolist() == [False, True]
    assert frame["mixed"].dtype == "float64"
    assert frames.rows_frame({"status": [], "position": []}).dtypes.astype(str).tolist() == ["category", "Int64"]


def test_a_task_that_shares_a_failure_is_counted_with_it(retold: Database) -> None:
    write(
        retold,
        "INSERT INTO goque.task (id, lane_id, status, same_as) VALUES "
        "(1001000000000, 1, 'attempts_left', 1000000000001), (1001000000001, 1, 'done', 1000000000000);",
    )
    both = frames.errors(retold, spans=[looking.span_of(1000), looking.span_of(1001)])
    assert both["count"].tolist() == [2]
    [shared] = frames.errors(retold, spans=[looking.span_of(1001)]).itertuples()
    assert (shared.task_id, shared.count, shared.error, shared.args_repr) == (1001000000000, 1, "took too long", "(1,)")


def test_pages_in_the_order_of_ids_give_every_row_once(retold: Database, recwarn: pytest.WarningsRecorder) -> None:
    in_a_buffer = "UPDATE goque.task SET run = 1, worker_id = 7, seq = -1 WHERE id = 1000000000003;"
    write(retold, in_a_buffer)
    for order in ("task_id", "-task_id"):
        whole = keys(frames.history(retold, order_by=order))
        assert len(whole) == 8
        for size in (1, 2, 3, 8):
            page = frames.history(retold, order_by=order, limit=size)
            rows = keys(page)
            while (last := page.attrs["next"]) is not None:
                page = frames.history(retold, order_by=order, limit=size, after=last)
                rows += keys(page)
            assert rows == whole, (order, size)
    assert not [warning for warning in recwarn if issubclass(warning.category, HistoryTruncated)]


def test_pages_of_tasks_and_batches_go_on_behind_an_id(told: Database) -> None:
    page = frames.tasks(told, order_by="id", limit=4)
    assert page["id"].tolist() == [5, 1_000_000_000_000, 1_000_000_000_001, 1_000_000_000_002]
    assert page.attrs["next"] == 1_000_000_000_002
    rest = frames.tasks(told, order_by="id", limit=4, after=page.attrs["next"])
    assert rest["id"].tolist() == [1_000_000_000_003, 1_000_000_000_004]
    assert rest.attrs["next"] is None
    assert frames.batches(told, order_by="-id", after=1001)["id"].tolist() == [1000]


def test_a_page_whose_rows_do_not_tell_where_they_are_says_nothing_of_the_next(told: Database) -> None:
    with pytest.warns(HistoryTruncated):
        assert "next" not in frames.history(told, order_by="task_id", columns=["task_id"], limit=1).attrs


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, 6),
        ({"status": "done"}, 2),
        ({"status": []}, 0),
        ({"failed": True}, 1),
        ({"queue": "etl", "status": ["done", "new"]}, 2),
        ({"batch": "nightly"}, 5),
        ({"batch": "nobody's"}, 0),
        ({"owner": "bob", "type": "jobs.mail"}, 1),
        ({"since": "1h"}, 1),
        ({"attempts": 0}, 3),
        ({"batch": "nightly", "longer_than": "4s"}, 1),
        ({"metadata": {"a": [1]}}, 1),
        ({"task": [5, 6]}, 1),
        ({"worker": "mill", "status": "processing"}, 1),
    ],
    ids=str,
)
def test_tasks_are_counted_by_the_tally_or_one_by_one(told: Database, filters: dict[str, Any], expected: int) -> None:
    assert frames.count(told, **filters) == expected


def test_a_count_has_neither_columns_nor_an_order(told: Database) -> None:
    with pytest.raises(InvalidInput, match="count has no filter 'order_by'"):
        frames.count(told, order_by="id")


def test_queues_workers_and_batches_are_narrowed_too(told: Database) -> None:
    assert frames.queues(told, order_by="-name", columns="name")["name"].tolist() == ["etl", "default"]
    assert frames.queues(told, queue="etl")["name"].tolist() == ["etl"]
    assert frames.workers(told, worker="mill", owner="ada", columns=["pid"])["pid"].tolist() == [4711]
    assert frames.workers(told, worker="elsewhere").empty
    assert frames.batches(told, status="processing")["id"].tolist() == [1000]
    assert frames.batches(told, status="pending").empty
    with pytest.raises(InvalidInput, match="workers has no filter 'hosts'"):
        frames.workers(told, hosts="mill")


def test_frames_are_queried_grouped_and_merged_as_they_are(told: Database) -> None:
    history, items = frames.history(told), frames.tasks(told)
    assert len(history.query("status == 'error' and run_s >= 0 and not final")) == 0
    assert len(history.query("failed and error_type == 'ValueError'")) == 1
    assert history[history.status > "processing"]["status"].isin(["done", "error", "attempts_left", "canceled"]).all()
    with pytest.raises(TypeError):
        history.query("created_at >= '2026-01-02'")  # pandas 3: a text without a zone is no moment
    assert history.query("created_at >= '2026-01-02T00:00Z'")["task_id"].tolist() == [5, 5]
    by_status = history.groupby("status")["run_s"].agg(["count", "sum"])
    assert by_status.loc["done"].tolist() == [3, 3 + history[history.task_id == 5]["run_s"].sum()]
    both = history.merge(items, left_on="task_id", right_on="id", suffixes=("", "_of_task"))
    assert len(both) == len(history)
    assert (str(both["task_id"].dtype), both["status"].dtype) == ("Int64", STATUS)
