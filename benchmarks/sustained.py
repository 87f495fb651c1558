"""Producers at half the drain's rate for a minute: how long from call to outcome, and at what cost for the server?

python -m benchmarks.sustained [--rounds 5] [--json] [--peers pgqueuer,awa]

In each round a minute of goque, then some seconds of each peer at half of *its* drain. What a peer's tasks wait is told
by shares of 50 ms, as if they were done in order, from how many are open at each look.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import psycopg

from benchmarks.drain import drain_rate
from benchmarks.measuring import Figures, Goal, run
from benchmarks.peers.company import Peer, peers
from benchmarks.servers import Meter, fresh_server
from benchmarks.work import square

if TYPE_CHECKING:
    from goque import Batch, Queue

SECONDS = 60
STEP_S = 0.05
PEER_SECONDS = 6
"""Of each round of a peer; a minute of each would take half an hour."""
LOOK_EVERY = 5
"""Shares between two looks at the backlog, which cost the server something as well."""
RANKS = (50, 95, 99)
GOALS = (
    Goal("end to end, p99", "end to end, p99", most=100.0),
    Goal("backlog, last third / first third", "backlog, last third", "backlog, first third", most=1.5),
    Goal("WAL of a task, enqueue and drain, bytes", "WAL of a task", most=1200),
    Goal("commits per task", "commits of a task", most=0.02),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """One map every 50 ms, at half the rate that was measured just before; then the peers."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as submitter, Queue(workers=2) as runner:
        runner.submit(square, 1).result()
        # dbos takes tasks one by one, hardly faster than half of what it drains: nothing could be kept up.
        others = [peer for peer in peers(dsn, options) if peer.name != "dbos"]
        meter = Meter(dsn)
        for _ in range(options.rounds):
            rate = drain_rate(submitter, [runner], 100_000)
            figures.note("drain", rate)
            _sustain(figures, runner, meter, max(1, int(rate / 2 * STEP_S)))
            for peer in others:
                _sustain_peer(figures, peer, meter)


def _sustain(figures: Figures, runner: Queue, meter: Meter, share: int) -> None:
    backlog: list[int] = []
    batches: list[Batch] = []
    with psycopg.connect(runner.dsn, autocommit=True) as looker, meter.read() as used:
        due = time.monotonic()
        for step in range(int(SECONDS / STEP_S)):
            batches.append(runner.map(square, range(share)))
            if step % LOOK_EVERY == 0:
                row = looker.execute("select sum(new + processing) from goque.tally").fetchone()
                assert row is not None
                backlog.append(int(row[0]))
            due += STEP_S
            time.sleep(max(0.0, due - time.monotonic()))
        batches[-1].wait()
    for batch in batches[-20:]:  # which shares its worker with those before it
        batch.wait()
    count = share * len(batches)
    figures.note("producers", share / STEP_S)
    _note_ends(figures, runner.dsn, batches[0][0].id, count)
    third = len(backlog) // 3
    figures.note("backlog, first third", statistics.mean(backlog[:third]), "tasks")
    figures.note("backlog, last third", statistics.mean(backlog[-third:]), "tasks")
    figures.note("WAL of a task", used.wal_bytes / count, "B")
    figures.note("commits of a task", used.commits / count, "")


def _sustain_peer(figures: Figures, peer: Peer, meter: Meter) -> None:
    """Half of what it drained just before, every 50 ms, on a database of its own."""
    dsn = peer.fresh()
    with peer.client(dsn) as client:
        client.enqueue(peer.module.DRAIN)
    share = max(1, int(peer.drain(dsn, 1) / 2 * STEP_S))
    dsn = peer.fresh()
    given: list[float] = []  # when each share was
    looks: list[tuple[float, int]] = []  # when, and how many were done by then
    with peer.client(dsn) as client, peer.workers(dsn, 1) as workers, psycopg.connect(dsn, autocommit=True) as looker:
        workers.go()
        client.enqueue(share)
        while _open(looker, peer):  # it is there
            time.sleep(0.02)
        with meter.read() as used:
            began = due = time.monotonic()
            for _ in range(int(PEER_SECONDS / STEP_S)):
                given.append(time.monotonic())
                client.enqueue(share)
                due += STEP_S
                _look(looker, peer, looks, share * len(given), due)
            took = time.monotonic() - began
            while looks[-1][1] < share * len(given):
                _look(looker, peer, looks, share * len(given), time.monotonic() + STEP_S)
    count = share * len(given)
    figures.note(f"{peer.name}, producers", count / took)
    waited = waits(given, looks, share)
    for rank in RANKS:
        figures.note(f"{peer.name}, end to end, p{rank}", 1000 * waited[int(len(waited) * rank / 100)], "ms")
    figures.note(f"{peer.name}, WAL of a task", used.wal_bytes / count, "B")
    figures.note(f"{peer.name}, commits of a task", used.commits / count, "")


def _look(looker: psycopg.Connection, peer: Peer, looks: list[tuple[float, int]], given: int, until: float) -> None:
    """Look at least once, and resting twenty times what a look takes, so that it costs the server a twentieth."""
    while True:
        began = time.monotonic()
        left = _open(looker, peer)
        looks.append((time.monotonic(), given - left))
        rest = max(0.005, 20 * (time.monotonic() - began))
        if time.monotonic() + rest >= until:
            time.sleep(max(0.0, until - time.monotonic()))
            return
        time.sleep(rest)


def waits(given: list[float], looks: list[tuple[float, int]], share: int) -> list[float]:
    """How long each share waited until as many were done as were given with it, sorted: as if done in order."""
    found, at = [], 0
    for number, when in enumerate(given):
        while looks[at][1] < share * (number + 1):
            at += 1
        found.append(looks[at][0] - when)
    return sorted(found)


def _open(looker: psycopg.Connection, peer: Peer) -> int:
    row = looker.execute(f"select count(*) from ({peer.module.OPEN}) open_ones".encode()).fetchone()
    assert row is not None
    return int(row[0])


def _note_ends(figures: Figures, dsn: str, first: int, count: int) -> None:
    """From call to outcome by the database's clock; in SQL, since a frame of a million rows takes another minute."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            """
            select count(*), percentile_cont(%s::float8[]) within group (
                order by extract(epoch from finished_at - created_at)
            ) from goque.task where id >= %s and status = 'done'
            """,
            ([rank / 100 for rank in RANKS], first),
        ).fetchone()
    assert row is not None
    assert row[0] == count, (row, count)
    for rank, seconds in zip(RANKS, row[1], strict=True):
        figures.note(f"end to end, p{rank}", 1000 * seconds, "ms")


if __name__ == "__main__":
    import benchmarks.sustained

    run(benchmarks.sustained)
