"""Giving work to the queue and getting results from it. Not for: what users hold (``app``) and running work (``worker``)."""
