"""Drives a pool as a worker's dispatcher does, for tests. Jobs that come back are sent again."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goque.model.outcomes import Outcome
from goque.payload import codec, functions
from goque.worker.channel.jobs import Checkpointed, Event, Finished, Job, Program, Progressed, Returned
from goque.worker.pool.pool import Pool

PATIENCE = 30.0
_keys = itertools.count()


def program(function: Callable[..., Any], **fields: Any) -> Program:
    """A program for this function, with a key of its own."""
    return Program(key=f"{function.__name__}-{next(_keys)}", code=functions.capture(function).code, **fields)


def job(task: int, *args: Any, **fields: Any) -> Job:
    """Run 1 of this task."""
    return Job(task, 1, codec.encode_arguments(args, {}), **fields)


class Driver:
    """A pool and everything that came out of it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.outcomes: dict[int, Outcome] = {}
        self.returned: list[Returned] = []
        self.progress: list[Progressed] = []
        self.checkpoints: dict[int, bytes] = {}
        self.programs: dict[int, Program] = {}
        self.resend = True

    def send(self, slot: int, program: Program, jobs: list[Job]) -> None:
        for each in jobs:
            self.outcomes.pop(each.task_id, None)
        self.programs.update(dict.fromkeys((each.task_id for each in jobs), program))
        self.pool.send(slot, program, jobs)

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Finished):
                assert event.job.task_id not in self.outcomes, "a job ended twice"
                self.outcomes[event.job.task_id] = event.outcome
            elif isinstance(event, Returned):
                self.returned.append(event)
                if self.resend:
                    for each in event.jobs:
                        again = each._replace(alone=each.alone or event.died)
                        self.pool.send(event.slot, self.programs[each.task_id], [again])
            elif isinstance(event, Progressed):
                self.progress.append(event)
            elif isinstance(event, Checkpointed):
                self.checkpoints[event.job.task_id] = event.state

    def until(self, condition: Callable[[], bool], patience: float = PATIENCE) -> None:
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"nothing came of it; outcomes: {self.outcomes}"
            self.take(self.pool.events(0.05))

    def outcome(self, task: int) -> Outcome:
        self.until(lambda: task in self.outcomes)
        return self.outcomes[task]

    def value(self, task: int) -> Any:
        outcome = self.outcome(task)
        assert outcome.kind == "done", outcome
        assert outcome.result is not None
        return codec.loads(outcome.result)

    def call(self, function: Callable[..., Any], *args: Any, slot: int = 0, **fields: Any) -> Outcome:
        """Run one job to its end."""
        task = next(_tasks)
        self.send(slot, program(function), [job(task, *args, **fields)])
        return self.outcome(task)

    def result(self, function: Callable[..., Any], *args: Any, slot: int = 0, **fields: Any) -> Any:
        outcome = self.call(function, *args, slot=slot, **fields)
        assert outcome.kind == "done", outcome
        assert outcome.result is not None
        return codec.loads(outcome.result)


_tasks = itertools.count(1_000_000)


@contextmanager
def driven(slots: int = 1, kind: Any = "process", **options: Any) -> Iterator[Driver]:
    """A started pool, closed in the end."""
    pool = Pool(slots, kind, **options)
    pool.start()
    try:
        yield Driver(pool)
    finally:
        pool.close()


def wait_for(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """What the condition says once it is true."""
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)
    return found


def written(path: Path) -> str:
    """What is in the file, once something is."""
    return str(wait_for(lambda: path.exists() and path.read_text()))


def alive(pid: int) -> bool:
    """Whether this process lives; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return not os.path.exists("/proc/self")
