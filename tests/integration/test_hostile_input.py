"""Names and filters that would be SQL are names and filters; what is secret is told nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import goque
from goque import InvalidInput, NotFound, Queue
from goque.model.options import OPTION_NAMES
from goque.queries.filters import NAMES
from goque.sql import tasks
from tests.integration.conftest import SECRET

HOSTILE = [
    "'; drop table goque.task; --",
    '"; drop table goque.task; --',
    "\\'; drop table goque.task; --",
    "$$; drop table goque.task; --",
    "x') or true; delete from goque.task; --",
    "%s %(name)s {schema} %",
    "goque.task",
    '"goque".',
    "\u2019 \u02bc; drop table goque.task; --",
    "x\x00'; drop table goque.task; --",
    "half \ud800 a character",
]
PASSWORD = "hunter2-is-a-password"
MARKER = "a-payload-that-nobody-else-sees"


def told(act: Callable[[], Any]) -> Any:
    """What it gives, unless it is refused for what it is: never an error of the database's."""
    try:
        return act()
    except (InvalidInput, NotFound) as error:
        return error


def rows(queue: Queue) -> int:
    with psycopg.connect(queue.dsn) as connection:
        [[number]] = connection.execute("select count(*) from goque.task").fetchall()
    return int(number)


@pytest.fixture(scope="module")
def queue(server_dsn: str, template_database: str) -> Any:
    from tests.conftest import _new_database

    with (
        _new_database(server_dsn, f"goque_hostile_{os.getpid()}", template=template_database) as dsn,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("GOQUE_SECRET", SECRET)
        with Queue(dsn, owner="tester") as opened:
            opened.map(abs, [1, 2, 3], name="plain")
            yield opened


LOOKS = (Queue.history, Queue.tasks, Queue.batches, Queue.queues, Queue.workers, Queue.count)


@pytest.mark.parametrize("name", NAMES)
def test_a_filter_is_a_value(queue: Queue, name: str) -> None:
    before = rows(queue)
    reached = False
    for value in [value for text in HOSTILE for value in (text, {text: text})]:
        for look in LOOKS:
            found = told(partial(look, queue, **{name: value}))
            if isinstance(found, Exception):
                continue
            reached = True
            assert (found if isinstance(found, int) else len(found)) == 0
    assert rows(queue) == before
    takes_text = {"queue", "type", "batch", "owner", "worker", "external_id", "error_type", "error", "metadata"}
    assert reached == (name in takes_text), "text of this filter reaches the database now, or does not any more"


@pytest.mark.parametrize("name", sorted({*OPTION_NAMES} - {"dry_run"}))
def test_an_option_is_a_value(queue: Queue, name: str) -> None:
    before = rows(queue)
    stored = 0
    for value in [value for text in HOSTILE for value in (text, [text], {text: text})]:
        made = told(partial(give, queue, name, value))
        if isinstance(made, Exception):
            continue
        stored += 1
        [row] = queue.tasks(**{"batch" if name == "name" else "task": made.id}).to_dict("records")
        kept = row.get("batch" if name == "name" else name)
        if name in ("queue", "external_id", "name"):
            assert kept == value
        elif name in ("tags", "metadata"):
            assert str(value).strip("[]{}").partition(":")[0].strip("'\"")[:8] in str(kept)
    assert rows(queue) == before + stored


def give(queue: Queue, name: str, value: Any) -> Any:
    if name == "name":
        return queue.map(abs, [1], name=value)
    return queue.options(**{name: value}).submit(abs, 1)


def acts(queue: Queue, text: str) -> dict[str, Callable[[], Any]]:
    batch = queue.batch("plain")
    return {
        "batch": lambda: queue.batch(text),
        "owner": lambda: queue.batch(f"{text}/{text}"),
        "pause": lambda: queue.pause(text),
        "resume": lambda: queue.resume(text),
        "schedules": lambda: queue.pause_schedules(text),
        "forgotten": lambda: queue.forget_schedules(text),
        "where": lambda: batch.where(error_type=text),
        "status": lambda: batch.where(status=text),
        "order": lambda: queue.history(order_by=text),
        "columns": lambda: queue.history(columns=[text]),
        "retry": lambda: queue.retry(text),
        "cancel": lambda: queue.cancel(text),
        "reason": lambda: batch[0].cancel(reason=text),
        "again": lambda: batch[0].retry(),
        "payload": lambda: queue.enqueue(text, {text: text}).cancel(),
        "mine": lambda: queue.select(tasks.id).where(tasks.type == text).first(),
    }


def test_names_of_everything_else_are_values(queue: Queue) -> None:
    before = rows(queue)
    for text in HOSTILE:
        for act in acts(queue, text).values():
            told(act)
        for schema, owner in ((text, None), (None, text)):
            with suppress(goque.MigrationNeeded):  # a name as any other, and nothing has it
                told(lambda schema=schema, owner=owner: Queue(queue.dsn, schema=schema, owner=owner).close())
    possible = {text for text in HOSTILE if "\x00" not in text and "\ud800" not in text}
    with psycopg.connect(queue.dsn) as connection:
        assert {name for (name,) in connection.execute("select name from goque.queue")} == possible
        named = {type for (type,) in connection.execute("select type from goque.tasks where type <> 'builtins.abs'")}
    assert named <= possible
    assert rows(queue) == before + len(named)
    queue.resume()


def look_around(marker: str) -> dict[str, Any]:
    """What a task can see of those who run it."""
    seen: dict[str, Any] = {"environ": dict(os.environ), "lines": {}}
    pid = os.getpid()
    while pid > 1:
        seen["lines"][pid] = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if pid == os.getppid():
            seen["parent"] = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return seen


def refuse(marker: str) -> None:
    raise ValueError("something else")


@pytest.mark.direct
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes as Linux shows them")
def test_neither_address_nor_key_nor_payload_is_told_by_a_worker(
    dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secretly = make_conninfo(dsn, password=PASSWORD)
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    with Queue(secretly, owner="tester") as queue, caplog.at_level("DEBUG"), warnings.catch_warnings(record=True):
        task = queue.submit(look_around, MARKER)
        failed = queue.options(max_attempts=1).submit(refuse, MARKER)
        command = [sys.executable, "-m", "goque.cli", "worker", "--drain", "--log-level", "debug"]
        environment = os.environ | {"GOQUE_DSN": secretly}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert said.returncode == 0, said.stderr
        assert "ValueError" in said.stderr
        seen = task.result(timeout=20)
        error = failed.exception(timeout=20)
        shown = [repr(one) for one in (queue, task, failed, error, queue._core, queue._core.database, queue._core.ring)]
        told_of = {
            "logs of the worker": said.stdout + said.stderr,
            "logs of the client": caplog.text,
            "reprs": " ".join(shown) + str(error),
            "titles of processes": " ".join(seen["lines"].values()),
            "the environment of a task": json.dumps(seen["environ"]),
            "the environment of what started it": seen.get("parent", ""),
            "what the database shows": queue.workers().to_csv() + queue.batches().to_csv() + queue.tasks().to_csv(),
        }
    assert len(seen["lines"]) >= 2
    for where, text in told_of.items():
        for what in (SECRET, PASSWORD, MARKER, queue._core.ring.code_keys[0].secret.hex()):
            assert what not in text, where
