"""What tracing is to those who send and run tasks. Not for: doing it (``observe.tracing``)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from goque.model.events import Events, RunEnded


@dataclass(slots=True)
class Sent:
    """What is being sent. ``traceparent`` names its span to whoever runs it, as W3C Trace Context writes it."""

    traceparent: str | None = None
    batch: int | None = None
    """The batch, known when it is stored."""
    count: int | None = None
    """How many tasks there are, where they are several."""


class Tracing(Protocol):
    """Makes a span of what is sent."""

    def sending(
        self, verb: str, type: str, queue: str, *, task: int | None = None, inside: RunEnded | None = None
    ) -> AbstractContextManager[Sent]:
        """A span while the block runs: one task, or with None several. ``inside``: a run has asked for them."""
        ...

    def follow(self, events: Events) -> None:
        """Make a span of each run that ends."""
        ...


class NoTracing:
    """Nobody traces."""

    def sending(self, *_: Any, **__: Any) -> AbstractContextManager[Sent]:
        """No span."""
        return nullcontext(Sent())

    def follow(self, _events: Events) -> None:
        """Nothing is to be made."""
