"""Waiting when what is waited for loses its worker, or its server."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from goque import Queue
from goque.postgres import embedded, migrations
from goque.postgres.database import Database
from tests.integration.conftest import until


@contextmanager
def waiting(queue: Queue, batch: int, timeout: float) -> Iterator[list[object]]:
    """Wait for a batch in a thread; what came of it, once the block has ended."""
    came: list[object] = []

    def wait() -> None:
        try:
            came.extend(queue.batch(batch).results(timeout=timeout))
        except BaseException as error:
            came.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield came
    thread.join(timeout + 5)


def slowly(x: int) -> int:

    time.sleep(0.2)
    return x


@pytest.mark.slow
@pytest.mark.direct
def test_a_local_worker_that_is_killed_is_replaced_and_the_batch_finishes(dsn: str) -> None:
    with Queue(dsn, workers=2) as queue:
        batch = queue.map(slowly, range(20), max_attempts=5)
        with waiting(queue, batch.id, 60) as came:
            until(lambda: batch.counts()["done"], "some are done")
            [pid] = queue._core.local.pids()
            os.kill(pid, signal.SIGKILL)
        assert came == list(range(20))


@pytest.mark.slow
def test_a_server_that_is_stopped_and_comes_back_interrupts_no_wait(
    server_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dsn = embedded.ensure(server_home)
    database = Database(dsn)
    migrations.migrate(database)
    database.close()
    with Queue(dsn, workers=1) as queue, caplog.at_level(logging.WARNING, "goque"):
        batch = queue.options(delay="3s").map(abs, [-1, -2, -3])
        first = queue.batch(batch.id)
        with waiting(queue, batch.id, 60) as came:
            until(lambda: queue._core.waiting._watched, "it waits")
            embedded.stop(server_home)
            with pytest.raises(TimeoutError, match="as far as is known.*cannot be reached"):
                first[0].result(timeout=0.5)
            embedded.ensure(server_home)
        assert came == [1, 2, 3]
    said = [record.getMessage() for record in caplog.records if record.module == "waiting"]
    assert [text.partition(" to ")[0] for text in said] == ["goque: lost the connection", "goque: connected"], said
