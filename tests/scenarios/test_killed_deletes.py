"""A process that is killed in the middle of removing a batch leaves nothing that anybody sees or has to repair."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest

from goque import Queue
from goque.maintenance.cleaner import Round
from goque.postgres.database import Database
from tests.integration.conftest import SECRET

pytestmark = pytest.mark.slow

TASKS = 5_000


def test_what_a_killed_process_was_deleting_is_finished_by_the_next_cleaner(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    script = """
        import sys
        from goque import Queue
        from goque.maintenance import cleaner

        class Pace(cleaner.Pace):
            steps = 0

            def stopped(self):
                self.steps += 1
                if self.steps == 3:
                    print("in the middle", flush=True)
                    sys.stdin.read()  # until it is killed
                return super().stopped()

        cleaner.Pace = Pace
        with Queue(owner="tester") as q:
            q.batch("going").delete(force=True)
    """
    with Queue(dsn, owner="tester") as queue:
        queue.map(abs, range(TASKS), name="going", external_id=str)
        command = [sys.executable, "-c", textwrap.dedent(script)]
        environment = os.environ | {"GOQUE_DSN": dsn}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        ) as deleting:
            assert deleting.stdout is not None
            assert deleting.stdout.readline() == "in the middle\n"
            deleting.send_signal(signal.SIGKILL)
        assert queue.batches().empty
        assert queue.count() == 0
        assert len(queue.map(abs, range(3), name="going", external_id=str)) == 3
        with psycopg.connect(dsn, autocommit=True) as connection:
            counting = "select count(*) from goque.task where external_id is not null"
            assert connection.execute(counting).fetchone() == (TASKS - 2_000 + 3,)
            database = Database(dsn)
            assert Round(database).clean() == {"tasks": TASKS - 2_000}
            database.close()
            assert connection.execute(counting).fetchone() == (3,)
            assert connection.execute("select count(*) from goque.external_id").fetchone() == (3,)
            assert connection.execute("select count(*) from goque.deleted_batch").fetchone() == (0,)
