"""All benchmarks, or those that are named, one after the other. Not for: measuring anything itself."""

from __future__ import annotations

import sys

from benchmarks import (
    cleaning,
    drain,
    enqueue,
    frames,
    idle,
    latency,
    lengths,
    listeners,
    results,
    scaling,
    shared,
    shares,
    singles,
    sizes,
    sustained,
    used,
)
from benchmarks.measuring import main

QUESTIONS = [
    enqueue,
    drain,
    results,
    shares,
    latency,
    sustained,
    lengths,
    sizes,
    frames,
    used,
    scaling,
    listeners,
    idle,
    singles,
    shared,
    cleaning,
]

if __name__ == "__main__":
    main(sys.argv[1:], QUESTIONS)
