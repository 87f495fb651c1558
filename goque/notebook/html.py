"""A view as HTML that every front end shows, saved notebooks included. Not for: when it is shown (``panel``).

Plain elements with meaning and visible text only: front ends strip scripts, style sheets, roles and aria attributes
from notebooks they do not trust, and keep ``progress``, ``table``, ``details`` and inline styles. Colours are those of
the front end's theme.
"""

from __future__ import annotations

from datetime import datetime
from html import escape

from goque.model.durations import in_words
from goque.model.states import Status
from goque.notebook.text import pace, place
from goque.notebook.view import SYMBOLS, Failures, Running, View

_QUIET = "color: var(--jp-ui-font-color2, GrayText)"
_FRAME = (
    "font-family: var(--jp-ui-font-family, sans-serif); font-size: var(--jp-ui-font-size1, 13px); "
    "max-width: 52em; line-height: 1.5"
)
_CELL = "text-align: left; padding: 0 1.4em 0 0; font-variant-numeric: tabular-nums; white-space: nowrap"
# Front ends set tables to the right, and stripe their rows.
_TABLE = '<table style="margin: 0.3em 0; border-collapse: collapse; font-size: inherit">'
_CODE = (
    "margin: 0.2em 0 0.6em; padding: 0.5em 0.8em; max-height: 24em; overflow: auto; white-space: pre; "
    "font-size: 90%; border-left: 3px solid var(--jp-border-color1, #bdbdbd); "
    "background: var(--jp-layout-color2, transparent)"
)


def panel(view: View) -> str:
    """All there is to be seen of a batch."""
    return status(view) + failures(view)


def status(view: View, at: datetime | None = None) -> str:
    """Title, progress bar, pace, the counts by status as a table, what runs, and what there is to say.

    ``at`` is said of what has not ended: where this is kept, it may be read much later.
    """
    label = escape(" · ".join(_facts(view)))
    bar = (
        f'<progress max="{max(view.total, 1)}" value="{view.ended if view.total else 1}" title="{label}" '
        'style="width: 100%; height: 1.1em; accent-color: var(--jp-brand-color1, #1976d2)">'
        f"{view.percent}%</progress>"
    )
    style = _QUIET if view.complete else "font-weight: bold"
    note = f'<p style="margin: 0.4em 0; {style}">{escape(view.note)}</p>' if view.note else ""
    moment = "" if at is None or view.complete else _quiet(f"as it was at {at:%Y-%m-%d %H:%M %Z}")
    return (
        f'<section class="goque-batch" style="{_FRAME}">{_heading(view)}{bar}<br>{label}'
        f"{_counts(view)}{_workers(view)}{_running(view)}{note}{moment}</section>"
    )


def failures(view: View) -> str:
    """Failures in groups, each with a traceback to unfold; nothing when there are none."""
    if not view.failures:
        return ""
    return (
        f'<section class="goque-failures" style="{_FRAME}">'
        + "".join(_group(group) for group in view.failures)
        + "</section>"
    )


def _heading(view: View) -> str:
    state = f' <span style="{_QUIET}">— paused</span>' if view.paused and not view.complete else ""
    return f'<p style="margin: 0"><strong>{escape(view.title)}</strong>{state}</p>'


def _facts(view: View) -> list[str]:
    facts = [f"{view.percent}%", f"{view.ended:,} of {view.total:,} ended"]
    if view.elapsed is not None:
        facts.append(f"after {in_words(view.elapsed)}")
    if not view.complete and view.rate is not None:
        facts.append(pace(view.rate))
    if not view.complete and view.eta is not None:
        facts.append(f"about {in_words(view.eta)} left")
    return facts


def _counts(view: View) -> str:
    if not view.present:
        return "<p>no tasks</p>"
    head = "".join(
        _cell("th", f"{SYMBOLS[status]} {status}", f"font-weight: normal; {_QUIET}") for status, _ in view.present
    )
    body = "".join(_cell("td", f"{number:,}", "font-weight: bold; font-size: 120%") for _, number in view.present)
    return f"{_TABLE}{_row(head)}{_row(body)}</table>"


def _workers(view: View) -> str:
    if not view.workers:  # where there is none, the note says what to do
        return ""
    workers = "1 worker" if view.workers == 1 else f"{view.workers:,} workers"
    slots = "1 slot" if view.slots == 1 else f"{view.slots:,} slots"
    return _quiet(f"{workers} alive, {slots}")


def _quiet(text: str) -> str:
    return f'<p style="margin: 0; {_QUIET}">{text}</p>'


def _running(view: View) -> str:
    if not view.running:
        return ""
    caption = f'<caption style="text-align: left; padding: 0; {_QUIET}">running longest</caption>'
    return f"{_TABLE}{caption}{''.join(map(_running_row, view.running))}</table>"


def _running_row(task: Running) -> str:
    cells = (_cell("td", place(task.position)), _cell("td", in_words(task.seconds)), _cell("td", escape(task.said)))
    return _row("".join(cells))


def _group(group: Failures) -> str:
    where = f"{escape(group.frame)} · " if group.frame else ""
    return (
        f'<details><summary style="cursor: pointer">{SYMBOLS[Status.ATTEMPTS_LEFT]} {group.number:,} × '
        f"<strong>{escape(group.title)}</strong> "
        f'<span style="{_QUIET}">{where}for example {place(group.position)}</span></summary>'
        f'<pre style="{_CODE}">{escape(group.traceback.rstrip())}</pre></details>'
    )


def _row(cells: str) -> str:
    return f'<tr style="background: none">{cells}</tr>'


def _cell(kind: str, content: str, style: str = "") -> str:
    return f'<{kind} style="{_CELL}; {style}">{content}</{kind}>'
