"""An application with task types, for workers that are started with it. Not for: functions that are sent."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import pydantic

import goque

jobs = goque.Registry()


@dataclass
class Email:
    to: str
    copies: int = 0


class Draft(TypedDict):
    to: str
    copies: NotRequired[int]


class Letter(pydantic.BaseModel):
    to: str
    copies: int = 0


@jobs.before
def veto(task: goque.TaskContext) -> None:
    if task.metadata.get("veto"):
        raise goque.Cancel("the hook said no")


@jobs.before("hooked")
def first(task: goque.TaskContext) -> None:
    print("before", task.attempt)


@jobs.before("hooked")
def second(task: goque.TaskContext) -> None:
    print("second before", task.attempt)
    if task.metadata.get("later") and task.restored is None:
        task.checkpoint("snoozed once")
        raise goque.Snooze(0.05)


@jobs.after("hooked")
def broken(task: goque.TaskContext, outcome: goque.TaskOutcome) -> None:
    raise RuntimeError("this hook is broken")


@jobs.after("hooked")
def last(task: goque.TaskContext, outcome: goque.TaskOutcome) -> None:
    print("after", outcome.kind, outcome.value, repr(outcome.error))


@jobs.task("hooked", max_attempts=1)
async def hooked(payload: Any) -> Any:
    print("in between")
    if payload == "fail":
        raise ValueError("no")
    return payload


@jobs.task("secretive", max_attempts=1)
def secretive() -> object:
    """What it returns cannot be stored."""
    return (number for number in range(3))


@jobs.after("secretive")
def heard(task: goque.TaskContext, outcome: goque.TaskOutcome) -> None:
    print("after", outcome.kind, type(outcome.error).__name__)


@jobs.task("send_email", payload=Email, max_attempts=5, timeout="30s", queue="mail", priority=2)
def send_email(email: Email) -> str:
    return f"{type(email).__name__} to {email.to}, {email.copies} copies"


@jobs.task(payload=Draft)
def send_draft(draft: Draft) -> str:
    return f"to {draft['to']}, {draft.get('copies', 0)} copies"


@jobs.task(payload=Letter)
def send_letter(letter: Letter) -> str:
    return f"{type(letter).__name__} to {letter.to}, {letter.copies} copies"


@jobs.task
def echo(payload: Any) -> Any:
    return payload


@jobs.task
def spawning(depth: int) -> int:
    if depth:
        goque.context().enqueue("spawning", depth - 1)
    return depth


@jobs.task
def tick() -> str:
    return "tock"


@jobs.task(retry=[0, 0, 0, 0], max_attempts=2, give_up_on=[LookupError])
def failing(payload: str) -> None:
    raise {"value": ValueError, "key": KeyError}[payload]("no")


@jobs.task(concurrency=1)
def narrow(folder: str) -> int:
    return _how_many_at_once(folder)


@jobs.task
def wide(folder: str) -> int:
    return _how_many_at_once(folder)


def _how_many_at_once(folder: str) -> int:
    """How many of these were running at the most while this one did; it waits for a second a little while."""
    mine = f"{folder}/{time.monotonic_ns()}-{os.getpid()}"
    open(mine, "x").close()
    most = 0
    for _ in range(15):
        most = max(most, len(os.listdir(folder)))
        if most > 1:
            break
        time.sleep(0.01)
    time.sleep(0.02)
    os.unlink(mine)
    return most
