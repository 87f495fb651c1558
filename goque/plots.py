"""``goque.plots``: what users may draw. Not for: how it is drawn (``notebook.plots``)."""

from goque.notebook.plots import durations, memory, throughput, timeline, waits

__all__ = ["durations", "memory", "throughput", "timeline", "waits"]
