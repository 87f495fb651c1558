"""A worker process of a peer: ``python -m benchmarks.peers NAME``, the address on standard input. Not for: goque."""

from __future__ import annotations

import logging
import sys
from importlib import import_module

if __name__ == "__main__":
    module = import_module(f"benchmarks.peers.{sys.argv[1]}")
    logging.disable(logging.WARNING)
    address = sys.stdin.readline().strip()
    print("ready", flush=True)
    if sys.stdin.readline():
        module.work(address)
