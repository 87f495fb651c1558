"""A view as one line of text. Not for: where it is written (``progress``)."""

from __future__ import annotations

from goque.model.durations import in_words
from goque.model.states import Status
from goque.notebook.view import SYMBOLS, View

BAR = 24
_SHORTEST_BAR = 8


def line(view: View, width: int = 100) -> str:
    """Bar and facts, cut to fit: ``[#####-----]  52%  5,230/10,000  412/s  eta 12 s  3 failed``. Without the note."""
    facts = [f"{view.percent:3d}%", f"{view.ended:,}/{view.total:,}"]
    if view.complete:
        if view.elapsed is not None:
            facts.append(in_words(view.elapsed))
    else:
        if view.rate is not None:
            facts.append(pace(view.rate))
        if view.eta is not None:
            facts.append(f"eta {in_words(view.eta)}")
    for status, word in ((Status.ATTEMPTS_LEFT, "failed"), (Status.ERROR, "to retry"), (Status.CANCELED, "canceled")):
        if number := view.counts.get(status, 0):
            facts.append(f"{number:,} {word}")
    text = "  ".join(facts)
    room = min(BAR, max(_SHORTEST_BAR, width - len(text) - 5))
    filled = int(view.fraction * room)
    return f"[{'#' * filled}{'-' * (room - filled)}] {text}"[: max(width - 1, 1)]


def sentence(view: View) -> str:
    """The state in words, for logs and saved output."""
    counts = ", ".join(f"{number:,} {status}" for status, number in view.present) or "no tasks"
    parts = [f"{view.title}: {view.ended:,} of {view.total:,} ended ({counts})"]
    if view.complete and view.elapsed is not None:
        parts.append(f"after {in_words(view.elapsed)}")
    if not view.complete and view.rate is not None:
        parts.append(pace(view.rate))
    if not view.complete and view.eta is not None:
        parts.append(f"eta {in_words(view.eta)}")
    return ", ".join(parts) + (f"; {view.note}" if view.note else "")


def failures(view: View) -> str:
    """Failures in groups, a line each."""
    lines = (
        f"{SYMBOLS[Status.ATTEMPTS_LEFT]} {group.number:,} x {group.title} ({group.frame}; {place(group.position)})"
        for group in view.failures
    )
    return "\n".join(lines)


def place(position: int) -> str:
    """A task by its place, as its batch finds it."""
    return f"batch[{position}]"


def pace(rate: float) -> str:
    """Tasks per second, or per minute or hour when they are slow."""
    if rate >= 10:
        return f"{rate:,.0f}/s"
    if rate >= 1 or rate == 0:
        return f"{rate:.1f}/s"
    if rate * 60 >= 1:
        return f"{rate * 60:.1f}/min"
    return f"{rate * 3600:.1f}/h"
