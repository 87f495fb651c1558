"""``goque worker`` on a machine whose clock is wrong by ``SKEW`` seconds, since nothing of it may decide anything."""

from __future__ import annotations

import datetime
import os
import sys
import time

_real = time.time
_SKEW = float(os.environ["SKEW"])


class _Wrong(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _Wrong:
        return cls.fromtimestamp(time.time(), tz)


time.time = lambda: _real() + _SKEW
datetime.datetime = _Wrong  # type: ignore[misc]

from goque.cli import main  # noqa: E402 - what it imports takes the clock along

if __name__ == "__main__":
    sys.exit(main(["worker", *sys.argv[1:]]))
