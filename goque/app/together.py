"""Waiting for tasks and batches together, in the words of ``concurrent.futures``. Not for: one batch (its methods)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from goque.app.batch import Batch
from goque.app.outcomes import ErrorPolicy, as_they_come, ended
from goque.app.task import Task

Waitable = Task | Batch


class DoneAndNotDone(NamedTuple):
    """What ``wait`` gives."""

    done: set[Task]
    not_done: set[Task]


def as_completed(things: Waitable | Iterable[Waitable], timeout: float | None = None) -> Iterator[Task]:
    """The tasks of all of these as they end.

    Raises:
        TimeoutError: some have not ended within ``timeout`` seconds; they go on.
    """
    sources = _sources(things)
    came: queue.Queue[Task | BaseException | None] = queue.Queue()
    stop = threading.Event()
    for source in sources:
        threading.Thread(target=_forward, args=(source, timeout, came, stop), name="goque-wait", daemon=True).start()
    left = len(sources)
    try:
        while left:
            try:
                item = came.get(timeout=0.2)
            except queue.Empty:
                continue
            if item is None:
                left -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item
    finally:
        stop.set()


def wait(things: Waitable | Iterable[Waitable], timeout: float | None = None) -> DoneAndNotDone:
    """Wait until all have ended, at most ``timeout`` seconds; gives those that have and those that have not."""
    sources = _sources(things)
    every = {task for source in sources for task in (source.tasks() if isinstance(source, Batch) else [source])}
    done: set[Task] = set()
    try:
        for task in as_completed(sources, timeout):
            done.add(task)
    except TimeoutError:
        pass
    return DoneAndNotDone(done, every - done)


def gather(*things: Waitable, errors: ErrorPolicy = "raise", timeout: float | None = None) -> list[Any]:
    """The result of each task and the list of results of each batch, in the order given."""
    end = None if timeout is None else time.monotonic() + timeout
    gathered: list[Any] = []
    for thing in things:
        left = None if end is None else max(0.0, end - time.monotonic())
        if isinstance(thing, Batch):
            gathered.append(thing.results(errors=errors, timeout=left))
            continue
        try:
            gathered.append(thing.result(left))
        except TimeoutError:
            raise
        except Exception as error:
            if errors == "raise":
                raise
            if errors == "return":
                gathered.append(error)
    return gathered


def _sources(things: Waitable | Iterable[Waitable]) -> list[Waitable]:
    return [things] if isinstance(things, (Task, Batch)) else list(dict.fromkeys(things))


def _forward(
    source: Waitable, timeout: float | None, came: queue.Queue[Task | BaseException | None], stop: threading.Event
) -> None:
    core = source._core
    try:
        if isinstance(source, Batch):
            spans = source._spans
        else:
            spans = [(source.id, source.id)]
            facts = cache(source._facts)  # asked for inside the wait, which bears an outage

        def lanes() -> tuple[int, ...]:
            return source._lanes() if isinstance(source, Batch) else facts()[:1]

        for found in as_they_come(core, spans, lanes, timeout=timeout, stop=stop, values=True):
            task = source if isinstance(source, Task) else Task(core, found.id)
            task._ended = ended(core, found, source._python if isinstance(source, Batch) else facts()[1])
            came.put(task)
    except BaseException as error:
        came.put(error)
    came.put(None)
