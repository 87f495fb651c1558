"""All benchmarks, one after the other. Not for: measuring anything itself."""

from __future__ import annotations

from benchmarks import throughput

if __name__ == "__main__":
    throughput.main()
