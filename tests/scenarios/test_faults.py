"""Workers, children, servers and clients that are killed, stopped and cut off in the middle of their work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from goque import Status
from goque.postgres import embedded, migrations
from goque.postgres.database import Database
from tests.scenarios.scene import PATIENCE, SECRET, Scene, until
from tests.servers import end_sessions

pytestmark = pytest.mark.slow


def test_a_worker_that_is_killed_loses_nothing(scene: Scene) -> None:
    batch = scene.map(2_000)
    victim, _ = scene.serve(), scene.serve()
    scene.some_ran(400)
    victim.send(signal.SIGKILL)
    scene.settled(batch)
    assert batch.counts()[Status.DONE] == 2_000
    assert sorted(batch.results()) == list(range(2_000))
    assert {row.outcome for row in scene.rig.ask("select * from goque.run")} <= {"lost", "lost_unknown"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_a_checkpoint_outlives_the_worker_of_its_task(scene: Scene, how: signal.Signals) -> None:
    def read_pages() -> object:

        import goque

        here = goque.context()
        if here.restored is not None:
            return here.restored
        here.checkpoint({"page": 7})
        here.progress(7, 9, "pages")
        while True:
            time.sleep(0.01)

    task = scene.queue.submit(read_pages)
    worker = scene.serve("--grace", "0.2")
    said = "select id from goque.task where checkpoint is not null and progress is not null and status = 'processing'"
    until(lambda: scene.rig.ask(said), "it runs and has said how far it is")
    scene.serve()
    worker.send(how)
    assert task.result(timeout=PATIENCE) == {"page": 7}
    outcome = "lost" if how is signal.SIGKILL else "handed_back"
    assert list(scene.queue.history(task=task.id, order_by="run")["outcome"]) == [outcome, "done"]
    assert task.attempts == (2 if how is signal.SIGKILL else 1)


def test_workers_that_are_killed_one_after_the_other_lose_nothing(scene: Scene) -> None:
    batch = scene.map(1_500, max_attempts=9)
    scene.serve()
    for number in (200, 500, 800):
        victim = scene.serve()
        scene.some_ran(number)
        victim.send(signal.SIGKILL)
    scene.settled(batch)
    assert batch.counts()[Status.DONE] == 1_500


def test_children_that_are_killed_charge_only_what_they_ran(scene: Scene) -> None:
    batch = scene.map(1_500, retry=[0.0], max_attempts=9)
    worker = scene.serve()
    for number in (100, 300, 500, 700, 900):
        scene.some_ran(number)
        for child in worker.children():
            child.kill()
    scene.settled(batch)
    assert batch.counts()[Status.DONE] == 1_500
    outcomes = Counter(row.outcome for row in scene.rig.ask("select * from goque.run"))
    assert set(outcomes) <= {"crash"}
    assert outcomes["crash"] <= 10  # two children, five times
    charged = scene.rig.ask("select sum(attempts - 1) as n from goque.task")[0].n
    assert charged == outcomes["crash"]


def test_a_worker_that_was_stopped_past_its_lease_comes_back_and_changes_nothing(scene: Scene) -> None:
    batch = scene.map(2_000)
    sleeper, _ = scene.serve(), scene.serve()
    scene.some_ran(400)
    sleeper.send(signal.SIGSTOP)
    until(lambda: scene.rig.ask("select * from goque.worker where lost_at is not null"), "it is lost")
    until(lambda: not scene.rig.ask("select * from goque.claim c join goque.worker w on w.id = c.worker_id "
                                    "where lost_at is not null"), "it is healed")  # fmt: skip
    sleeper.send(signal.SIGCONT)
    until(lambda: "declared lost" in sleeper.log.read_text(), "it hears of it")
    scene.settled(batch)
    assert batch.counts()[Status.DONE] == 2_000
    lost = scene.rig.ask("select * from goque.worker where lost_at is not null")
    assert len(lost) == 1
    assert len(scene.rig.ask("select * from goque.worker")) == 3


@pytest.mark.parametrize("statement", ["claim.claim", "finish.succeed", "upkeep.heal"])
def test_a_worker_that_is_stopped_in_the_middle_of_a_transaction_holds_up_nobody(
    scene: Scene, tmp_path: Path, statement: str
) -> None:
    batch = scene.map(3_000)
    when = tmp_path / "now"
    sleeper, victim = scene.serve(stops=(statement, when)), scene.serve()
    scene.some_ran(200)
    when.touch()
    victim.send(signal.SIGKILL)  # its tasks are there to be healed

    def stands_in_the_middle() -> bool:
        if not sleeper.stopped:
            return False
        if len(scene.rig.ask("select from goque.task for update skip locked")) < 3_000:
            return True
        sleeper.send(signal.SIGCONT)  # a heal before the victim was lost locks nothing
        until(lambda: not sleeper.stopped, "it goes on")
        return False

    until(stands_in_the_middle, "it stops and holds rows locked")
    when.unlink()
    scene.serve()
    until(batch.done, "the others do all of it")
    assert sleeper.stopped
    sleeper.send(signal.SIGCONT)
    until(lambda: "declared lost" in sleeper.log.read_text(), "it hears of it")
    scene.settled(batch)
    assert batch.counts()[Status.DONE] == 3_000


def test_connections_that_are_cut_all_the_time_lose_nothing(scene: Scene) -> None:
    batch = scene.map(2_000)
    done = threading.Event()

    def cut() -> None:
        while not done.wait(0.3):
            end_sessions(scene.dsn)

    cutter = threading.Thread(target=cut)
    scene.serve()
    scene.serve()
    scene.some_ran(100)
    cutter.start()
    try:
        scene.some_ran(1_900)
    finally:
        done.set()
        cutter.join()
    scene.settled(batch)
    assert batch.counts()[Status.DONE] == 2_000
    assert scene.ran().total() == 2_000  # no outcome was thrown away for want of a connection
    assert scene.rig.ask("select * from goque.run") == []


def test_a_server_that_is_killed_and_started_again_has_everything(
    server_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    dsn = embedded.ensure(server_home)
    with_schema = Database(dsn)
    migrations.migrate(with_schema)
    with_schema.close()
    scene = Scene(dsn, tmp_path)
    try:
        batch = scene.map(1_500)
        scene.serve()
        scene.some_ran(300)
        pid = embedded.status(server_home).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert embedded.ensure(server_home) == dsn
        scene.settled(batch)
        assert batch.counts()[Status.DONE] == 1_500
        assert scene.ran().total() == 1_500
    finally:
        scene.close()


def test_a_client_that_is_killed_while_it_maps_leaves_nothing_half_stored(scene: Scene, tmp_path: Path) -> None:
    script = """
        import sys, time
        from goque import Queue

        def items():
            for n in range(3000):
                if n == 2500:
                    print("sent", flush=True)
                    time.sleep(60)
                yield n

        with Queue() as q:
            q.map(abs, range(1000))
            print("stored", flush=True)
            q.map(abs, items())
    """
    environment = {**os.environ, "GOQUE_DSN": scene.dsn, "GOQUE_SECRET": SECRET}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as client:
        assert client.stdout is not None
        assert [client.stdout.readline().strip() for _ in range(2)] == ["stored", "sent"]
        client.kill()
    scene.serve()
    until(
        lambda: len(scene.rig.ask("select * from goque.task where status = 'done'")) == 1_000, "the first map is done"
    )
    assert len(scene.rig.ask("select * from goque.task")) == 1_000
    assert [row.total for row in scene.rig.ask("select * from goque.batch")] == [1_000]
    for worker in scene.workers:
        worker.end()
    assert scene.rig.broken() == []


def test_local_workers_hand_back_and_end_when_their_owner_is_killed(scene: Scene) -> None:
    script = """
        import time
        from goque import Queue

        def slow(n):
            time.sleep(600)

        q = Queue(workers=2)
        q.map(slow, range(100))
        print("stored", flush=True)
        time.sleep(600)
    """
    environment = {**os.environ, "GOQUE_DSN": scene.dsn, "GOQUE_SECRET": SECRET}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().strip() == "stored"
        running = "select * from goque.task where status = 'processing'"
        until(lambda: len(scene.rig.ask(running)) == 2, "two tasks run")
        [worker] = scene.rig.ask("select * from goque.worker")
        family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        owner.kill()
    assert not psutil.wait_procs(family, timeout=20)[1]
    rows = scene.rig.rows().values()
    assert {(row.status, row.attempts, row.worker_id) for row in rows} == {("new", 0, None)}
    assert Counter(row.handbacks for row in rows) == {0: 98, 1: 2}
    assert {row.outcome for row in scene.rig.ask("select * from goque.run")} == {"handed_back"}
    assert scene.rig.claims() == 0
    assert scene.rig.broken() == []
