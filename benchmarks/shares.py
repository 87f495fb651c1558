"""Where does the processor time of a task go: giving it, running it, bringing its result back?

python -m benchmarks.shares [--tasks 100000] [--rounds 5] [--json]

Microseconds for each task, as the kernel counts them for each thread and process of client, worker and server. Loading
the arguments, calling the function and encoding the result are measured in a child that does nothing else; the rest of
a child's time is the pipe. What is left of the time of all cores is told as idle.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from timeit import timeit
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from benchmarks.work import sleep, square
from goque.client.rows import Encoder

if TYPE_CHECKING:
    from goque import Queue

GOALS: tuple[Goal, ...] = ()
PARTS = (
    "encode",
    "COPY, client",
    "COPY, server",
    "claim, worker",
    "claim, server",
    "pipe, worker",
    "pipe, child",
    "load",
    "run",
    "answer",
    "complete, worker",
    "complete, server",
    "wait, client",
    "wait, server",
    "the rest",
    "idle",
)
OF_THREADS = {"claimer": "claim", "dispatcher": "pipe", "completer": "complete"}


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """A map by itself, its drain by itself, then both with the results in the caller."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as q, _worker(q) as (family, children, inside), _encoding():
        count = options.tasks
        clock = Clock(dsn, family, children, {name: cost * count for name, cost in inside.items()})
        for _ in range(options.rounds):
            q.pause("default")
            with clock.read("COPY") as given:
                batch = q.map(square, range(count))
            with clock.read("wait", runs=True) as run:
                q.resume("default")
                while not batch.done():
                    time.sleep(0.05)
            _note(figures, "enqueue", given, count)
            _note(figures, "drain", run, count)
            with clock.read("COPY") as given:
                batch = q.map(square, range(count))
            with clock.read("wait", runs=True) as run:
                assert len(list(batch)) == count
            _note(figures, "results", given + run, count)


class Clock:
    """Reads what every thread and process has used, by the part it plays."""

    def __init__(self, dsn: str, family: dict[str, str], children: list[int], inside: dict[str, float]) -> None:
        """``family`` is the part of a thread or process by its place in /proc, ``inside`` a share of the children's."""
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._family = family
        self._children = children
        self._inside = inside

    @contextmanager
    def read(self, client: str, *, runs: bool = False) -> Iterator[Counter[str]]:
        """Seconds by part, once the block has ended; what client and server do for it is ``client``."""
        used: Counter[str] = Counter()
        began, before = time.perf_counter(), self._look(client)
        yield used
        wall, after = time.perf_counter() - began, self._look(client)
        used.update({name: after[name] - before[name] for name in after})
        if runs:
            used.update(self._inside)
            used["pipe, child"] -= sum(self._inside.values())
        used["idle"] = (os.cpu_count() or 1) * wall - sum(used.values())

    def _look(self, client: str) -> Counter[str]:
        found: Counter[str] = Counter()
        own = time.process_time()
        found["encode"] = _encoded[0]
        found[f"{client}, client"] = own - _encoded[0]
        rows = self._connection.execute("select pid, backend_type from pg_stat_activity where pid <> pg_backend_pid()")
        for pid, kind in rows.fetchall():
            other = f"{client}, server" if kind == "client backend" else "the rest"
            found[self._family.get(f"{pid}", other)] += _seconds(f"{pid}")
        for place, part in self._family.items():
            if "/" in place:
                found[part] += _seconds(place)
        found["pipe, child"] += sum(_seconds(f"{pid}") for pid in self._children)
        return found


def _seconds(place: str) -> float:
    """What a process, or the thread PID/task/TID, has used; of a process its first thread."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{place}/schedstat").read_text().split()[0]) / 1e9
    return 0.0


def _note(figures: Figures, question: str, used: Counter[str], count: int) -> None:
    for part in PARTS:
        if used[part]:
            figures.note(f"{question}: {part}", 1e6 * used[part] / count, "µs")


_encoded = [0.0]
"""Seconds that this process has spent on making rows of calls."""


@contextmanager
def _encoding() -> Iterator[None]:
    """Have it counted."""
    plain: Callable[..., Iterator[bytes]] = Encoder.chunks

    def chunks(self: Encoder, calls: Any) -> Iterator[bytes]:
        made = plain(self, calls)
        while True:
            began = time.thread_time()
            chunk = next(made, None)
            _encoded[0] += time.thread_time() - began
            if chunk is None:
                return
            yield chunk

    Encoder.chunks = chunks  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Encoder.chunks = plain  # type: ignore[method-assign]


@contextmanager
def _worker(q: Queue) -> Iterator[tuple[dict[str, str], list[int], dict[str, float]]]:
    """A worker of two slots: the parts of its threads and backends, its children, and what a task costs in them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "threads.json"
        command = [sys.executable, "-m", "benchmarks.named", str(file)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
            try:
                children = set(q.map(_child, [0.5] * 2).results(timeout=60))
                inside = q.submit(_inside).result(timeout=60)
                list(q.map(square, range(1000)))
                told = json.loads(file.read_text())
                parts = {f"goque-{name}": part for name, part in OF_THREADS.items()}
                family = {
                    f"{worker.pid}/task/{told['threads'][name]}": f"{part}, worker" for name, part in parts.items()
                }
                family |= {str(pid): f"{parts[n]}, server" for n, pid in told["backends"].items() if n in parts}
                yield family, sorted(children), inside
            finally:
                worker.terminate()


def _child(seconds: float) -> int:
    sleep(seconds)
    return os.getpid()


def _inside() -> dict[str, float]:
    """Seconds of what a child does with a task, but for the pipe."""
    from goque.payload import codec

    body, times = codec.encode_arguments((12_345,)), 20_000
    return {
        "load": timeit(lambda: codec.decode_arguments(body), number=times) / times,
        "run": timeit(lambda: square(12_345), number=times) / times,
        "answer": timeit(lambda: codec.dumps(152_399_025), number=times) / times,
    }


if __name__ == "__main__":
    import benchmarks.shares

    run(benchmarks.shares)
