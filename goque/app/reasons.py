"""What a task that is not running waits for, in words, with what helps. Not for: making it run."""

from __future__ import annotations

import time
from collections.abc import Sequence

from goque.app.core import Core
from goque.errors import DatabaseError
from goque.model.eligibility import KEYLESS, missing
from goque.model.options import Options
from goque.model.states import Status
from goque.payload.functions import CapturedFunction
from goque.postgres.verbs import Verbs
from goque.queries import eligibility, reading
from goque.queries.eligibility import LaneNeeds, LivingWorker
from goque.queries.reading import TaskRow

FRESH_S = 30.0
_TOLD = {
    "time": "it waits for its time",
    "inputs": "it waits for its inputs",
    "worker buffer": "it is in a worker's buffer",
    "paused": "it is paused; resume() goes on",
}
"""Reasons that no worker could mend, as sentences."""


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
    if core.database.first(eligibility.paused(row.lane)):
        return "paused"
    if row.lacking is not None:
        return f"module {row.lacking}"
    needs = LaneNeeds(row.queue, row.python, row.tags, row.key_ids, None if row.function_hash is not None else row.type)
    lacks = [missing(worker, needs) for worker in _workers(core)]
    nearest = min(lacks, key=len, default=[])
    return nearest[0] if nearest else "a worker"


def unserved(needs: LaneNeeds, workers: Sequence[LivingWorker]) -> str | None:
    """Why none of these workers can serve such a lane, with what helps; None when one can."""
    lacks = [missing(worker, needs) for worker in workers]
    if [] in lacks:
        return None
    command = _command(needs.tags, queue="" if needs.queue == "default" else needs.queue, app=bool(needs.type))
    if not workers:
        needed = f" (needed: the task type {needs.type})" if needs.type else ""
        return f"no worker is alive{needed}; start one with: {command}"
    if all(KEYLESS in lack for lack in lacks):
        return (
            "it was submitted without a key and those alive hold one: submit it again with GOQUE_SECRET set, or start "
            f"one without it: {command}"
        )
    worker, lacking = min(zip(workers, lacks, strict=True), key=lambda pair: len(pair[1]))
    alive = (
        "1 worker is alive and" if len(workers) == 1 else f"of {len(workers):,} workers alive none fits; the nearest"
    )
    told = f"{alive} lacks {', '.join(lacking)}"
    if any(lack.startswith("Python ") for lack in lacking):
        told += f" (it runs {worker.python})"
    if any(lack.startswith("key ") for lack in lacking):
        return (
            f"{told} (it holds {', '.join(worker.key_ids) or 'none'}); start it with the GOQUE_SECRET that is used here"
        )
    return f"{told}; start one with: {command}"


def nobody_can(core: Core, lane: int) -> str | None:
    """Why no living worker can run the tasks of a lane, with what helps; None when one can."""
    needs = core.database.first(eligibility.lane(lane))
    if needs is None:
        return None
    workers = _workers(core)
    # A local worker that is only starting is no reason to start another one.
    return None if not workers and core.local.pids() else unserved(needs, workers)


def nobody_will(core: Core, function: CapturedFunction, options: Options, *, seldom: bool = False) -> str | None:
    """Why no living worker could run this function with these options, with what helps; None when one can.

    Also None when none lives, since workers may well be started later, and while local ones can be. ``seldom``: ask
    about the same but once in ``FRESH_S`` seconds, since it is asked for each of many tasks.
    """
    if core.local.slots:
        return None
    about, now = (options.queue, function.python, tuple(options.tags)), time.monotonic()
    if seldom and now - core.asked.get(about, -FRESH_S) < FRESH_S:
        return None
    core.asked[about] = now
    needs = LaneNeeds(options.queue, function.python, sorted(set(options.tags)), list(core.functions.key_ids), None)
    workers = _workers(core)
    return unserved(needs, workers) if workers else None


def stuck(core: Core, lanes: Sequence[int]) -> str | None:
    """Why nothing of these lanes is being run, with what helps; None when something may be, or they are unknown."""
    if not lanes:
        return None
    paused = [core.database.first(eligibility.paused(lane)) for lane in lanes]
    if all(paused):
        return _TOLD["paused"]
    reasons = [nobody_can(core, lane) for lane in lanes]
    return reasons[-1] if None not in reasons else None


def late(core: Core, task: int) -> str:
    """What a task waits for that should have ended by now; empty if that cannot be had."""
    try:
        row = core.database.first(reading.task(task))
        what = None if row is None else waiting_for(core, row)
        if row is None or what is None:
            return "" if row is None or row.status.final else "it is running"
        if what in _TOLD:
            return _TOLD[what]
        why = nobody_can(core, row.lane)
        return f"it waits, but {why}" if why else f"it waits for {what}"
    except DatabaseError:
        return ""


def unserved_lanes(database: Verbs) -> list[str]:
    """What keeps ready tasks from being run, a sentence each, and what helps after its last semicolon.

    Not told: no worker, a paused queue.
    """
    workers = database.all(eligibility.living())
    found: dict[str, None] = {}
    for lane in database.all(eligibility.ready_lanes()):
        if lane.paused:
            found[f"batch {lane.batch_id} is paused; go on with: goque resume {lane.batch_id}"] = None
        elif workers and (why := unserved(lane.needs, workers)) is not None:
            found[f"tasks of {lane.type.rpartition('.')[2]} in queue {lane.needs.queue} wait, but {why}"] = None
    return list(found)


def worker_command(database: Verbs) -> str:
    """The command of a worker that could take all that is ready."""
    lanes = database.all(eligibility.ready_lanes())
    tags = sorted({tag for lane in lanes for tag in lane.needs.tags})
    return _command(tags, app=any(lane.needs.type for lane in lanes))


def _command(tags: Sequence[str], *, queue: str = "", app: bool) -> str:
    command = "goque worker" + (f" --queues {queue}" if queue else "")
    command += f" --tags {','.join(tags)}" if tags else ""
    return command + (" --app package.module:jobs" if app else "")


def _workers(core: Core) -> list[LivingWorker]:
    """Living workers that may serve us: other processes' local ones serve what those submitted."""
    return [worker for worker in core.database.all(eligibility.living()) if core.local.slots or not worker.local]
