"""Several types in one worker, each with a limit of its own: a partner that bears one call at a time, a mirror that
bears two, and as much of the rest as there are slots.

    goque worker --app limit_jobs:jobs --concurrency 8
    python limit_jobs.py https://partner.example.org/prices https://mirror.example.org/prices
"""

from __future__ import annotations

import sys
from urllib.request import urlopen

import goque

jobs = goque.Registry()


def read(url: str) -> str:
    with urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


@jobs.task("ask_partner", concurrency=1, timeout="1m")
def ask_partner(url: str) -> str:
    return read(url)


@jobs.task("ask_mirror", concurrency=2, timeout="1m")
def ask_mirror(url: str) -> str:
    return read(url)


@jobs.task("count_words")
def count_words(text: str) -> int:
    return len(text.split())


def ask(q: goque.Queue, partner: str, mirror: str, times: int = 6) -> list[goque.Task]:
    with q.pipeline():
        asked = [q.enqueue("ask_partner", partner) for _ in range(times)]
        asked += [q.enqueue("ask_mirror", mirror) for _ in range(times)]
        asked += [q.enqueue("count_words", "as many as there are slots") for _ in range(times)]
    return asked


if __name__ == "__main__":
    with goque.Queue() as q:
        print(goque.gather(*ask(q, sys.argv[1], sys.argv[2])))
