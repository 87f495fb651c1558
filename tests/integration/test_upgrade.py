"""A migration under those who work: one that only adds disturbs nobody, and of any other they are told what it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from goque import MigrationNeeded, Queue
from goque.postgres import migrations, sources
from goque.postgres.database import Database
from tests.integration.conftest import SECRET

ADDS = """\
alter table {schema}.task add column note text;
alter table {schema}.lane add column weight integer not null default 1;
alter table {schema}.worker add column rack text;
create table {schema}.more (id bigint primary key);
create index batch_owner on {schema}.batch (owner);
"""


def slowly(number: int) -> int:
    time.sleep(0.01)
    return number


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The migrations of a version to come, which adds."""
    folder = tmp_path / "migrations"
    shutil.copytree(sources.folder(), folder)
    (folder / f"{sources.newest() + 1:04d}_more.sql").write_text(ADDS)
    return folder


@pytest.mark.direct
def test_a_worker_goes_on_through_a_migration_that_only_adds(alone: Queue, later: Path) -> None:
    alone.start_workers(2)
    before = alone.map(slowly, range(150))
    next(before.as_completed(timeout=30))
    upgraded = Database(alone.dsn)
    assert [step.name for step in migrations.migrate(upgraded, folder=later)] == ["more"]
    after = alone.map(slowly, range(20), name="after")
    assert before.results(timeout=30) == list(range(150))
    assert after.results(timeout=30) == list(range(20))
    assert len(alone.workers()) == 1
    assert set(alone.history()["status"]) == {"done"}
    assert after.retry(force=True).changed == 20
    assert after.wait(timeout=30).done()
    migrations.check(upgraded, folder=later)
    upgraded.close()
    # Who comes new with the version before is sent to get the later one.
    with pytest.raises(MigrationNeeded, match=r"newer than.*pip install -U goque"):
        Queue(alone.dsn)


@pytest.mark.direct
def test_who_is_overtaken_by_a_migration_that_takes_away_is_told_so(
    alone: Queue,
) -> None:
    environment = os.environ | {"GOQUE_DSN": alone.dsn, "GOQUE_SECRET": SECRET, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "goque.cli", "worker", "--concurrency", "1"]
    worker = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        task = alone.submit(abs, -1)
        assert task.result(timeout=30) == 1
        with psycopg.connect(alone.dsn) as connection:
            connection.execute("alter table goque.task rename column handbacks to returned")
        with pytest.raises(MigrationNeeded, match="goque migrate --check"):
            task.retry(force=True)
        alone.submit(int, "no number")
        assert worker.stderr is not None
        assert any("goque migrate --check" in line for line in worker.stderr), "it ended and said nothing of it"
    finally:
        worker.kill()
        worker.communicate(timeout=30)
