"""Workers, children, servers and clients that are killed, stopped and cut off in the middle of their work.

Each task adds a line to a file, so that it is known what really ran. Whatever happens: every task comes to its end,
what ran twice has a record that says why, the counts are those of the rows, and nothing is left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from goque import Queue, Status
from goque.app.batch import Batch
from goque.postgres import embedded, migrations
from goque.postgres.database import Database
from tests.rig import Rig
from tests.servers import end_sessions

SECRET = "a secret for the tests of faults"
PATIENCE = 60.0

pytestmark = pytest.mark.slow


def until(true: Callable[[], object], what: str) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < give_up_at, f"waited in vain: {what}"
        time.sleep(0.02)


class Served:
    """A worker with a short lease, as a process of its own."""

    def __init__(self, dsn: str, log: Path, *options: str, stops: tuple[str, Path] | None = None) -> None:
        """``stops``: the statement after which it stops, and the file without which it does not."""
        self.log = log
        module = "tests.stopping_worker" if stops else "tests.hurried_worker"
        command = [sys.executable, "-m", module, "--concurrency", "2", *options]
        environment = {**os.environ, "GOQUE_DSN": dsn, "GOQUE_SECRET": SECRET}
        if stops:
            environment |= {"STOP_AFTER": stops[0], "STOP_WHEN": str(stops[1])}
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, stderr=output, stdout=output, env=environment)
        self._family: dict[int, psutil.Process] = {}

    def family(self) -> list[psutil.Process]:
        """Its nursery and children, those of the past included."""
        try:
            for one in psutil.Process(self.process.pid).children(recursive=True):
                self._family[one.pid] = one
        except psutil.NoSuchProcess:
            pass
        return list(self._family.values())

    def children(self) -> list[psutil.Process]:
        """The processes that run tasks: what the nursery has made."""
        return [one for one in self.family() if one.is_running() and one.ppid() != self.process.pid]

    @property
    def stopped(self) -> bool:
        """Whether its main process stands still."""
        return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED

    def send(self, number: int) -> None:
        self.family()
        self.process.send_signal(number)

    def end(self) -> None:
        """Ask it to end if it lives, and see that nothing of it lives on."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        self.process.wait(PATIENCE)
        left = psutil.wait_procs(self.family(), timeout=5.0)[1]
        assert not left, f"left behind: {left}"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


class Scene:
    """A database, a file that tasks write to, and workers."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.rig = Rig(Database(dsn))
        self.queue = Queue(dsn, owner="tester")
        self.workers: list[Served] = []
        self._folder = folder
        self._file = folder / "ran"
        self._file.touch()

    def serve(self, *options: str, stops: tuple[str, Path] | None = None) -> Served:
        log = self._folder / f"worker-{len(self.workers)}.log"
        self.workers.append(Served(self.dsn, log, *options, stops=stops))
        return self.workers[-1]

    def map(self, number: int, seconds: float = 0.002, **options: Any) -> Batch:
        def noted(place: int, file: str, seconds: float) -> int:
            import time

            with open(file, "ab", buffering=0) as ran:
                ran.write(b"%d\n" % place)
            if seconds:
                time.sleep(seconds)
            return place

        kwargs = {"file": str(self._file), "seconds": seconds}
        return self.queue.map(noted, range(number), kwargs=kwargs, **options)

    def ran(self) -> Counter[int]:
        """How often each item has run."""
        return Counter(map(int, self._file.read_bytes().split()))

    def some_ran(self, number: int) -> None:
        until(lambda: self._file.read_bytes().count(b"\n") >= number, f"{number} tasks have run")

    def settled(self, batch: Batch) -> None:
        """The batch is final and explained."""
        until(lambda: all(status.final or not n for status, n in batch.counts().items()), "every task is final")
        for worker in self.workers:
            worker.end()
        ran = self.ran()
        records = Counter(row.task_id for row in self.rig.ask("select * from goque.run"))
        for place, task in enumerate(sorted(self.rig.rows())):
            assert ran[place] <= 1 + records[task], f"item {place} ran {ran[place]} times with {records[task]} records"
        assert self.rig.broken() == []
        self._no_claims_left()

    def _no_claims_left(self) -> None:
        """Claims of workers that were killed go with the next healing."""
        from goque.maintenance.healer import Healer

        Healer(self.rig.database).run_once()
        assert self.rig.claims() == 0
        assert self.rig.ask("select * from goque.task where seq < 0 and status <> 'done'") == []

    def logs(self) -> str:
        return "\n".join(worker.log.read_text() for worker in self.workers)

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.queue.close()
        self.rig.database.close()


@pytest.fixture
def scene(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    made = Scene(dsn, tmp_path)
    yield made
    made.close()


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
        import time

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
        import time

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
        import time

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
