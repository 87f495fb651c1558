"""Data processing: one task per file, one frame of what came of them, and only the bad files run again.

python process_data.py folder-with-csv-files
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import goque


def summarise(path: str, currency: str) -> dict[str, Any]:
    """Runs in a process of its own: it may take all the memory it wants, or crash."""
    with open(path, newline="") as file:
        prices = [float(row["price"]) for row in csv.DictReader(file)]
    if min(prices) < 0:
        raise ValueError("a price is negative")
    return {"file": Path(path).name, "sales": len(prices), "revenue": sum(prices), "in": currency}


def process(q: goque.Queue, folder: str) -> goque.Batch:
    """The name makes it safe to run again: the same files are the same batch, new ones are added."""
    paths = sorted(map(str, Path(folder).glob("*.csv")))
    return q.map(
        summarise,
        paths,
        kwargs={"currency": "EUR"},
        name=f"sales {Path(folder).name}",
        on_change="extend",
        timeout="10m",
    )


if __name__ == "__main__":
    with goque.Queue() as q:
        batch = process(q, sys.argv[1]).progress()
        print(batch.to_frame(inputs=False))
        print(batch.errors()[["error", "count"]])
        batch.failed().retry()  # when the files have been mended
