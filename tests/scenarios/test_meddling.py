"""People who stop workers, cancel, retry and hold rows in the middle of the work."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psycopg
import pytest

from goque import Status
from tests.scenarios.scene import Scene, until
from tests.servers import end_sessions

pytestmark = pytest.mark.slow


def test_workers_that_end_in_an_orderly_way_lose_and_charge_nothing(scene: Scene) -> None:
    batch = scene.map(2_000, seconds=0.001)
    scene.serve()
    for number in (200, 500, 800, 1_100):
        guest = scene.serve()
        scene.some_ran(number)
        guest.send(signal.SIGTERM)
    scene.settled(batch)
    assert scene.ran() == dict.fromkeys(range(2_000), 1)
    assert scene.rig.ask("select * from goque.run") == []


def test_a_cancel_and_a_retry_in_the_middle_leave_no_task_between(scene: Scene) -> None:
    batch = scene.map(2_000)
    scene.serve()
    scene.serve()
    scene.some_ran(300)
    batch.cancel("enough")
    counts = batch.counts()
    assert counts[Status.DONE] + counts[Status.CANCELED] == 2_000
    assert counts[Status.CANCELED] > 0
    changed = batch.retry()
    assert changed.changed == counts[Status.CANCELED]
    scene.settled(batch)
    assert batch.counts()[Status.DONE] == 2_000


def test_somebody_who_holds_rows_open_holds_up_nobody_else(scene: Scene) -> None:
    batch = scene.map(1_000)
    with psycopg.connect(scene.dsn) as connection:
        scene.serve()
        scene.some_ran(50)
        connection.execute("select from goque.task where id %% 50 = 7 and status = 'new' for update".replace("%%", "%"))
        locked = connection.execute("select count(*) from goque.task where id % 50 = 7 and status = 'new'").fetchone()
        assert locked is not None
        until(lambda: batch.counts()[Status.DONE] >= 1_000 - locked[0], "all the others are done")
    scene.settled(batch)
    assert batch.counts()[Status.DONE] == 1_000
    assert scene.ran().total() == 1_000


def test_workers_that_end_while_connections_are_cut_lose_nothing(scene: Scene) -> None:
    batch = scene.map(1_500)
    scene.serve()
    for number in (150, 400, 650, 900):
        guest = scene.serve()
        scene.some_ran(number)
        end_sessions(scene.dsn)
        guest.send(signal.SIGTERM)
        end_sessions(scene.dsn)
    scene.settled(batch)
    assert batch.counts()[Status.DONE] == 1_500


def test_a_worker_that_lacks_a_module_drains_the_rest_and_ends(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here  # type: ignore[import-not-found]

    with pytest.warns(UserWarning, match="only_here"):
        foreign = scene.queue.map(only_here.double, range(300))
    batch = scene.map(300, seconds=0.0)
    worker = scene.serve("--drain")
    worker.process.wait(20)
    assert batch.counts()[Status.DONE] == 300
    assert foreign.counts()[Status.NEW] == 300
    assert {row.attempts for row in scene.rig.rows().values() if row.status == "new"} == {0}
    worker.end()
    assert scene.rig.broken() == []
    assert scene.rig.claims() == 0


@pytest.mark.parametrize("size", [10, 40_000], ids=["small arguments", "large arguments"])
def test_nothing_that_is_buffered_starts_long_after_a_pause(scene: Scene, tmp_path: Path, size: int) -> None:
    def noted(payload: bytes, file: str) -> int:

        with open(file, "ab", buffering=0) as ran:
            ran.write(b"1\n")
        time.sleep(0.02)
        return len(payload)

    batch = scene.queue.map(noted, [bytes(size)] * 400, kwargs={"file": str(tmp_path / "ran")})
    scene.serve()
    scene.some_ran(100)
    batch.pause()
    until(lambda: not scene.rig.ask("select * from goque.task where seq < 0 and status <> 'done'"), "all is back")
    ran = scene.ran().total()
    assert batch.counts()[Status.DONE] == ran < 400
    assert {row.attempts for row in scene.rig.rows().values() if row.status == "new"} == {0}
    batch.resume()
    until(lambda: batch.counts()[Status.DONE] == 400, "the rest is done")
    assert scene.ran().total() == 400


def test_a_canceled_task_whose_code_still_runs_is_stopped_before_it_is_retried(scene: Scene, tmp_path: Path) -> None:
    def stubborn(file: str, go: str) -> str:
        import pathlib

        with open(file, "ab", buffering=0) as ran:
            ran.write(b"0\n")
        end = time.monotonic() + 60
        while not pathlib.Path(go).exists() and time.monotonic() < end:
            time.sleep(0.01)
        return "done"

    scene.serve()
    task = scene.queue.submit(stubborn, str(tmp_path / "ran"), str(tmp_path / "go"))
    scene.some_ran(1)
    assert task.cancel()
    assert task.status is Status.CANCELED
    task.retry()
    scene.some_ran(2)
    (tmp_path / "go").touch()
    assert task.result(timeout=20) == "done"
    assert scene.ran().total() == 2
    [record] = scene.rig.ask("select * from goque.run")
    assert record.outcome == "canceled"
