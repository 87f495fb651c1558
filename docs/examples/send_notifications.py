"""Notifications: one task makes one for each device, urgent ones go first, and what is late is not sent at all.

goque worker --app send_notifications:jobs --pool thread --concurrency 100
python send_notifications.py https://push.example.org "the train is late" phone-1 phone-2
"""

from __future__ import annotations

import json
import sys
from urllib.request import urlopen

import goque

jobs = goque.Registry()


@jobs.task("notify_all", timeout="1m")
def notify_all(message: dict[str, object]) -> int:
    """What it submits is there when it is done, once, however often it was tried."""
    here = goque.context()
    devices = message.pop("devices")
    assert isinstance(devices, list)
    for device in devices:
        here.enqueue("push", {**message, "device": device}, priority=10 if message["urgent"] else 0, expires="10m")
    return len(devices)


@jobs.task("push", timeout="10s", max_attempts=5, retry=[1, 5, 30, 60], give_up_on=[PermissionError])
def push(message: dict[str, object]) -> None:
    with urlopen(str(message.pop("url")), json.dumps(message).encode(), timeout=5):
        pass


@jobs.after("push")
def note(task: goque.TaskContext, outcome: goque.TaskOutcome) -> None:
    if outcome.kind == "error":
        print(f"attempt {task.attempt} failed: {outcome.error}")


def notify(q: goque.Queue, url: str, text: str, devices: list[str], *, urgent: bool = False) -> goque.Task:
    return q.enqueue("notify_all", {"url": url, "text": text, "urgent": urgent, "devices": devices})


if __name__ == "__main__":
    with goque.Queue() as q:
        print(notify(q, sys.argv[1], sys.argv[2], sys.argv[3:], urgent=True).result())
