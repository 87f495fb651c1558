"""What a task that is not running waits for, in words. Not for: making it run."""

from __future__ import annotations

from collections.abc import Sequence

from goque.app.core import Core
from goque.model.states import Status
from goque.queries import looking_after
from goque.queries.reading import TaskRow


def waiting_for(core: Core, row: TaskRow) -> str | None:
    """One of "time", "inputs", "worker buffer", "paused", "Python 3.13", "module torch", "tag gpu", "key 7f3a"...

    None for a task that runs, or is final; "a worker" when nothing but a free slot is missing.
    """
    if row.status is Status.PROCESSING or row.status.final:
        return None
    if row.run_at is not None:
        return "time"
    if row.seq is None:
        return "inputs"
    if row.seq < 0:
        return "worker buffer"
    if core.database.first(looking_after.paused(row.lane)):
        return "paused"
    workers = core.database.all(looking_after.living())
    if row.lacking is not None:
        return f"module {row.lacking}"
    if workers:
        for missing, have in (
            (f"type {row.type}", lambda worker: row.function_hash is not None or row.type in worker.types),
            (f"Python {row.python}", lambda worker: row.python in (None, minor(worker.python))),
            *((f"tag {tag}", lambda worker, tag=tag: tag in worker.tags) for tag in row.tags),
            *((f"key {key}", lambda worker, key=key: key in worker.key_ids) for key in row.key_ids),
            (f"queue {row.queue}", lambda worker: worker.queues is None or row.queue in worker.queues),
        ):
            if not any(map(have, workers)):
                return missing
    return "a worker"


def minor(version: str) -> str:
    """The minor version: "3.13" of "3.13.1"."""
    return ".".join(version.split(".")[:2])


def nobody_can(core: Core, lane: int) -> str | None:
    """Why no living worker can run the tasks of a lane, with the command that helps; None when one can."""
    found = core.database.first(looking_after.lane(lane))
    if found is None:
        return None
    workers = core.database.all(looking_after.living())
    fit = [
        worker
        for worker in workers
        if (found.python is None or minor(worker.python) == found.python)
        and set(found.tags) <= set(worker.tags)
        and set(found.key_ids) <= set(worker.key_ids)
        and (worker.queues is None or found.queue in worker.queues)
        and (found.type is None or found.type in worker.types)
    ]
    if fit:
        return None
    needs = [f"Python {found.python}"] if found.python else []
    needs += [f"tag {tag}" for tag in found.tags]
    needs += [f"the task type {found.type}"] if found.type else []
    command = "goque worker" + (" --app package.module:jobs" if found.type else "")
    command += f" --queues {found.queue}" if found.queue != "default" else ""
    command += f" --tags {','.join(found.tags)}" if found.tags else ""
    alive = f"{len(workers)} workers are alive and none of them fits" if workers else "no worker is alive"
    return f"{alive} (needed: {', '.join(needs) or 'any'}); start one with: {command}"


def stuck(core: Core, lanes: Sequence[int]) -> str | None:
    """Why nothing of these lanes is being run, with what helps; None when something may be, or they are unknown."""
    if not lanes:
        return None
    paused = [core.database.first(looking_after.paused(lane)) for lane in lanes]
    if all(paused):
        return "it is paused; resume() goes on"
    reasons = [nobody_can(core, lane) for lane in lanes]
    return reasons[-1] if None not in reasons else None
