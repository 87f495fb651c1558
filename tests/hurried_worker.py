"""``goque worker`` with a lease of two seconds, so that tests of losses need not wait for a quarter of a minute."""

from __future__ import annotations

import sys

from goque.queries import workers

workers.BEAT_S = 0.4

from goque.cli import main  # noqa: E402 - the lease is computed from it at import

if __name__ == "__main__":
    sys.exit(main(["worker", *sys.argv[1:]]))
