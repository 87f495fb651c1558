"""Image processing: heavy work in processes of its own, one per core, with a bound on time and on memory.

python process_images.py folder-with-ppm-images folder-for-thumbnails
"""

from __future__ import annotations

import sys
from pathlib import Path

import goque


def shrink(path: str, into: str, factor: int) -> str:
    """A PPM image as the mean of each ``factor`` times ``factor`` pixels; the path of the small one."""
    import numpy as np

    kind, size, most, pixels = Path(path).read_bytes().split(b"\n", 3)
    if (kind, most) != (b"P6", b"255"):
        raise goque.GiveUp(f"{path} is no PPM image of 8 bits")
    width, height = map(int, size.split())
    image = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
    rows, columns = height // factor, width // factor
    blocks = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
    small = Path(into) / Path(path).name
    # Written beside and moved, since a task may run twice and nobody shall see half an image.
    half = small.with_suffix(".part")
    half.write_bytes(b"P6\n%d %d\n255\n" % (columns, rows) + blocks.mean(axis=(1, 3)).astype(np.uint8).tobytes())
    half.replace(small)
    return str(small)


def thumbnails(q: goque.Queue, folder: str, into: str, factor: int = 8) -> goque.Batch:
    paths = sorted(map(str, Path(folder).glob("*.ppm")))
    return q.map(shrink, paths, kwargs={"into": into, "factor": factor}, timeout="5m", max_attempts=2)


if __name__ == "__main__":
    with goque.Queue() as q:
        batch = thumbnails(q, sys.argv[1], sys.argv[2]).progress()
        print(batch.results(errors="skip"))
        print(batch.history(columns=["status", "run_s", "max_rss_mb", "error"]))
