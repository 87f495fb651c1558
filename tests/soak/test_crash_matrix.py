"""What happens to thousands of tasks while workers, children, clients, servers, networks and disks fail.

Each run: the rate without a fault, then a batch under it, then the rate again. Afterwards every task is final, what
ran twice has a record that says why, and the rate is what it was.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from goque.worker.heartbeat import LEASE_S
from tests.servers import end_sessions, free_port
from tests.soak.field import SECRET, Field
from tests.soak.machines import Disk, Proxy, Server, folder

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

FAULT_S = 12.0
RECORDED_LOSSES = {"lost", "lost_unknown"}


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    random.seed(20)


@pytest.fixture(scope="module")
def ledger() -> Iterator[str]:
    """A server that no fault meets."""
    with folder() as path:
        server = Server(path, settings=("synchronous_commit=off",))
        server.start()
        yield server.dsn
        server.kill()


@pytest.fixture
def server() -> Iterator[Server]:
    """A durable server of this test's own."""
    with folder() as path:
        made = Server(path)
        made.start()
        yield made
        made.kill()


@pytest.fixture
def field(server: Server, ledger: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Field]:
    """Two workers on it."""
    made = Field(request.node.name.removeprefix("test_"), server.dsn, ledger, tmp_path)
    made.serve()
    yield made
    made.close()


def again_and_again(step: Callable[[], None], every: float, seconds: float = FAULT_S) -> Callable[[], None]:
    """A fault that comes back for so long."""

    def fault() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            step()
            time.sleep(every)

    return fault


def test_workers_are_killed(field: Field) -> None:
    field.survives(again_and_again(lambda: field.replace(random.choice(field.members)), 0.5))
    assert set(field.figures["records"]) <= RECORDED_LOSSES


def test_children_are_killed(field: Field) -> None:
    def step() -> None:
        children = [one for member in field.members for one in member.family() if one.pid != member.process.pid]
        with suppress(psutil.NoSuchProcess, IndexError):
            random.choice([one for one in children if not one.children()]).kill()

    field.survives(again_and_again(step, 0.2))
    assert set(field.figures["records"]) <= {"crash"}


def test_workers_are_stopped_past_their_lease_and_go_on(field: Field) -> None:
    def fault() -> None:
        time.sleep(0.5)
        field.members[0].process.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_S + 5.0)
        field.members[0].process.send_signal(signal.SIGCONT)

    field.survives(fault)
    assert set(field.figures["records"]) <= RECORDED_LOSSES


def test_workers_are_stopped_for_moments_in_whatever_they_do(field: Field) -> None:
    """A claim, a heal or a flush that stands still for a second holds up nobody else for longer."""

    def step() -> None:
        chosen = random.choice(field.members).process
        time.sleep(random.uniform(0.0, 0.3))
        chosen.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        chosen.send_signal(signal.SIGCONT)

    field.survives(again_and_again(step, 0.0))
    assert field.figures["records"] == {}


def test_a_client_is_killed_in_the_middle_of_maps(field: Field) -> None:
    script = """
        from goque import Queue

        def items(count):
            yield from range(count)

        with Queue(owner="killed") as q:
            print("ready", flush=True)
            while True:
                q.map(abs, items(5000))
    """
    environment = {**os.environ, "GOQUE_DSN": field.dsn}

    def step() -> None:
        command = [sys.executable, "-c", textwrap.dedent(script)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "ready\n"
            time.sleep(random.uniform(0.0, 0.5))
            client.kill()

    def fault() -> None:
        again_and_again(step, 0.1)()
        for batch in field.queue.batches(owner="killed")["id"]:
            field.final(field.queue.batch(int(batch)), 120)

    field.survives(fault)
    batches = field.queue.batches(owner="killed")
    assert len(batches) > 3
    assert set(batches["total"]) == {5000}
    assert set(batches["done"]) == {5000}
    field.figures["maps_of_killed_clients"] = len(batches)


def test_the_server_is_killed_every_few_seconds(field: Field, server: Server) -> None:
    def step() -> None:
        time.sleep(random.uniform(1.5, 3.0))
        server.kill()
        server.start()

    field.survives(again_and_again(step, 0.0, 20.0))
    assert field.figures["records"] == {}


def test_the_server_is_away_for_longer_than_a_lease(field: Field, server: Server) -> None:
    """Every heartbeat is old when it comes back, and nobody has lost anything."""

    def fault() -> None:
        time.sleep(1.0)
        server.stop()
        time.sleep(LEASE_S + 5.0)
        server.start()

    field.survives(fault)
    assert field.figures["records"] == {}


def test_sessions_are_cut(field: Field, server: Server) -> None:
    field.survives(again_and_again(lambda: [end_sessions(server.dsn), None][1], 0.3))
    assert field.figures["records"] == {}


def test_the_server_is_out_of_connections(field: Field, server: Server) -> None:
    def fault() -> None:
        hogs = []
        end = time.monotonic() + FAULT_S
        end_sessions(server.dsn)
        while time.monotonic() < end:
            try:
                hogs.append(psycopg.connect(server.dsn))
            except psycopg.OperationalError:
                time.sleep(0.05)
        for hog in hogs:
            hog.close()

    field.survives(fault)
    assert field.figures["records"] == {}


def test_a_machine_is_suspended_and_resumed(field: Field, server: Server) -> None:
    """Workers, children and server all stand still for longer than a lease."""

    def fault() -> None:
        time.sleep(1.0)
        everybody = [*server.family(), *(one for member in field.members for one in member.family())]
        for process in everybody:
            process.suspend()
        time.sleep(LEASE_S + 5.0)
        for process in everybody:
            process.resume()

    field.survives(fault)
    assert field.figures["records"] == {}


def test_clocks_of_workers_are_off_by_an_hour(server: Server, ledger: str, tmp_path: Path) -> None:
    field = Field("clocks_of_workers_are_off_by_an_hour", server.dsn, ledger, tmp_path)
    try:
        field.serve(1, skew=3600.0)
        field.serve(1, skew=-3600.0)
        field.survives(lambda: time.sleep(3.0))
        assert field.figures["records"] == {}
    finally:
        field.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own needs root")
def test_the_disk_is_full_for_a_while(ledger: str, tmp_path: Path) -> None:
    with folder("700m") as path:
        server = Server(path, settings=("min_wal_size=32MB", "max_wal_size=64MB", "wal_recycle=off"))
        server.start()
        field = Field("the_disk_is_full_for_a_while", server.dsn, ledger, tmp_path)
        disk = Disk(path)

        def fault() -> None:
            time.sleep(0.5)
            disk.fill()
            time.sleep(FAULT_S)
            disk.relieve()
            if not server.alive:  # a log that cannot be written ends a server; somebody starts it again
                server.start()

        try:
            field.serve()
            field.survives(fault)
            assert field.figures["records"] == {}
            field.figures["server_said_no_space"] = server.log().count("No space left on device")
            assert field.figures["server_said_no_space"]
        finally:
            field.close()
            server.kill()


def _cut(proxy: Proxy) -> None:
    for _ in range(4):
        time.sleep(1.0)
        proxy.cut()
        time.sleep(2.0)
        proxy.mend()


def _half_open(proxy: Proxy) -> None:
    time.sleep(1.0)
    proxy.silence()
    time.sleep(FAULT_S)
    proxy.mend()


def _slow(proxy: Proxy) -> None:
    proxy.delay = 0.2
    time.sleep(FAULT_S)
    proxy.mend()


def _lossy(proxy: Proxy) -> None:
    proxy.loss = 0.02
    time.sleep(FAULT_S)
    proxy.mend()


@pytest.mark.parametrize("fault", [_cut, _half_open, _slow, _lossy], ids=lambda fault: fault.__name__[1:])
def test_the_network_is(fault: Callable[[Proxy], None], ledger: str, tmp_path: Path) -> None:
    """Between workers and PostgreSQL 15, since the embedded server opens no port."""
    with folder() as path:
        port = free_port()
        server = Server(path, 15, port=port)
        server.start()
        proxy = Proxy(port)
        through = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
        name = f"the_network_is_{fault.__name__[1:]}"
        field = Field(name, server.dsn, ledger, tmp_path, workers_dsn=through)
        try:
            field.serve()
            # A connection that fell silent is given up by the kernel's keepalives, not sooner.
            field.survives(lambda: fault(proxy), after=LEASE_S + 35.0 if fault is _half_open else LEASE_S + 5.0)
            assert set(field.figures["records"]) <= RECORDED_LOSSES
        finally:
            field.close()
            proxy.close()
            server.kill()
