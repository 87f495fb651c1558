"""Giving work to the queue and getting results. Not for: what users hold (``app``), or running work (``worker``)."""
