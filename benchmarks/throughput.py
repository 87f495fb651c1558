"""How fast is a map stored, drained and read, against the raw SQL of the same steps?

python -m benchmarks.throughput [--tasks 100000] [--rounds 5] [--json]

Both sides take turns in one run on one embedded server with durable defaults; the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from benchmarks import raw
from benchmarks.servers import fresh_server


def square(number: int) -> int:
    """The task: nothing to do, and a small result."""
    return number * number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures: dict[str, list[float]] = {}
    with fresh_server() as dsn:
        from goque import Queue

        with Queue(workers=0) as submitter, Queue(workers=2) as runner:
            runner.submit(square, 1).result()
            for _ in range(options.rounds):
                one_round(dsn, submitter, runner, options.tasks, figures)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    if options.json:
        print(json.dumps({"tasks": options.tasks, "rounds": options.rounds, "medians": medians, "all": figures}))
        return
    for name, value in medians.items():
        print(f"{name:34} {value:12,.0f} /s   ({min(figures[name]):,.0f} to {max(figures[name]):,.0f})")
    print(f"{'map / raw COPY':34} {medians['goque map'] / medians['raw COPY']:12.2f}   (goal 0.5)")
    print(
        f"{'drain / raw claim+complete':34} {medians['goque drain'] / medians['raw claim+complete']:12.2f}   (goal 0.7)"
    )


def one_round(dsn: str, submitter: object, runner: object, count: int, figures: dict[str, list[float]]) -> None:
    """Both sides once, one step after the other."""
    from goque import Queue

    assert isinstance(submitter, Queue)
    assert isinstance(runner, Queue)

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    note("raw COPY", raw.enqueue(dsn, count))
    began = time.perf_counter()
    batch = submitter.map(square, range(count))
    note("goque map", count / (time.perf_counter() - began))
    note("raw claim+complete", raw.drain(dsn))
    began = time.perf_counter()
    runner.batch(batch.id)  # takes it up
    while not batch.done():
        time.sleep(0.02)
    note("goque drain", count / (time.perf_counter() - began))
    began = time.perf_counter()
    assert len(batch.results()) == count
    note("goque results", count / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
