"""An application whose tasks do what the reference rows ask about: for the workers of ``test_reference_rows``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import goque

jobs = goque.Registry()


@dataclass
class Order:
    number: int


@jobs.before("hooked")
def before(task: goque.TaskContext) -> None:
    print("before", task.attempt)


@jobs.after("hooked")
def after(task: goque.TaskContext, outcome: goque.TaskOutcome) -> None:
    print("after", outcome.kind, outcome.error)


@jobs.before("vetoed")
def broken(task: goque.TaskContext) -> None:
    raise RuntimeError("this hook is broken")


@jobs.task
def echo(payload: Any) -> Any:
    return payload


@jobs.task
def metadata() -> Mapping[str, Any]:
    return goque.context().metadata


@jobs.task("order", payload=Order)
def take_order(order: Order) -> int:
    print("an order")
    return order.number


@jobs.task("slow", timeout=0.1, retry=goque.Fixed("1m"))
def slow() -> None:
    for _ in range(600):
        time.sleep(0.1)


@jobs.task("fails", max_attempts=1)
def fails(text: str) -> None:
    raise ValueError(text)


@jobs.task("fails_later", retry=goque.Fixed("1h"))
def fails_later() -> None:
    raise ValueError("not now")


@jobs.task("cancels", retry=[0.0])
def cancels() -> None:
    if goque.context().attempt == 1:
        raise ValueError("the first time")
    raise goque.Cancel("nobody wants it")


@jobs.task
def hooked() -> None:
    print("in between")
    raise goque.Cancel("from inside")


@jobs.task("vetoed", max_attempts=1)
def vetoed() -> None:
    print("it ran")


@jobs.task("interrupted", max_attempts=2, retry=[0.0])
async def interrupted() -> None:
    raise asyncio.CancelledError("a timeout of its own")


@jobs.task
def gated(folder: str) -> str:
    """Say that it runs, and wait for a file."""
    (Path(folder) / f"began-{time.monotonic_ns()}").touch()
    while not (Path(folder) / "gate").exists():
        time.sleep(0.01)
    return "through"


@jobs.task
def deadly() -> None:
    """Kill the worker that runs it, main process and all."""
    import psutil

    psutil.Process().parent().parent().kill()
    for _ in range(600):
        time.sleep(0.1)


@jobs.every("1s")
def tick() -> None:
    pass


@jobs.cron("0 3 1 1 *", run_on_start=True)
def new_year() -> None:
    pass
