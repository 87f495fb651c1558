"""Webhooks with retries: servers that are down or busy are asked again, those that refuse are not.

goque worker --app deliver_webhooks:jobs --pool thread --concurrency 50
python deliver_webhooks.py https://example.org/hook
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import goque

jobs = goque.Registry()


@dataclass
class Event:
    id: str
    url: str
    body: dict[str, Any] = field(default_factory=dict)


@jobs.task("deliver", payload=Event, timeout="15s", max_attempts=8, retry=goque.Exponential("1s", factor=4, limit="6h"))
def deliver(event: Event) -> int:
    """At least once: the receiver tells repetitions by the key."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": event.id}
    request = Request(event.url, json.dumps(event.body).encode(), headers)
    try:
        with urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        if error.code == 429:
            raise goque.RetryAfter(float(error.headers.get("Retry-After", 60))) from error
        if error.code < 500:
            raise goque.GiveUp(f"refused with {error.code}") from error
        raise  # a failed attempt: the policy decides when the next one is


def publish(q: goque.Queue, id: str, url: str, **body: Any) -> goque.Task:
    return q.enqueue("deliver", Event(id, url, body), external_id=id)


if __name__ == "__main__":
    with goque.Queue() as q:
        print(publish(q, "event-1", sys.argv[1], hello="world").result())
