"""A page as HTML that every front end shows. Not for: what is on it (``page``), or single batches (``html``).

Tables, progress bars and pictures with text beside them; colours are the front end's own, so that dark ones stay dark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple

from goque.model.durations import in_words
from goque.model.states import Status
from goque.notebook.page import Page, Row, Series, busy
from goque.notebook.text import pace
from goque.notebook.view import SYMBOLS

# A page is as wide as there is room, never as its widest table: what sticks out is scrolled to.
_STYLE = """<style>
.goque-page {width: 0; min-width: 100%; padding-bottom: 1em; line-height: 1.5}
.goque-page p {margin: .3em 0}
.goque-page .tables {display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1em 2em}
.goque-page .tables > * {margin: 0}
.goque-page table {border-collapse: collapse; margin: 0; font-size: inherit}
.goque-page caption {text-align: left; font-weight: bold; padding: .2em 0}
.goque-page th, .goque-page td {padding: .1em .7em .1em 0; text-align: left; white-space: nowrap; background: none}
.goque-page .number {text-align: right; font-variant-numeric: tabular-nums}
.goque-page tr {border-bottom: 1px solid var(--jp-border-color2, #8884); background: none}
.goque-page figure {display: inline-block; max-width: 100%; margin: 0 2em .8em 0}
.goque-page svg {max-width: 100%; color: var(--jp-brand-color1, #1976d2)}
.goque-page progress {width: 8em; vertical-align: middle; accent-color: var(--jp-brand-color1, #1976d2)}
</style>"""
_WIDTH, _HEIGHT = 320, 70


class Cells(NamedTuple):
    """A column: its title, its text in a row, and whether that is a number."""

    title: str
    text: Callable[[Row], str]
    number: bool = False


def page_html(page: Page) -> str:
    """Everything that is on the page."""
    busy, slots = page.slots
    facts = [f"{page.unfinished:,} unfinished", f"{busy} of {slots} slots busy"]
    if page.at is not None:
        facts.append(f"as of {page.at:%H:%M:%S} UTC")
    note = f"<p><strong>{escape(page.note)}</strong></p>" if page.note else ""
    parts = [
        f'{_STYLE}<section class="goque-page">',
        f"<p><strong>{escape(page.title)}</strong> · {' · '.join(facts)}</p>{note}",
        *(chart(one) for one in page.series),
        '<div class="tables">',
        table("queues", page.queues, QUEUES, "no work has been submitted yet"),
        table("running longest", page.running, RUNNING, "no task has been running for more than a moment"),
        table("workers alive", page.workers, WORKERS, "no worker is alive; start one with: goque worker"),
        table("newest batches", page.batches, BATCHES, ""),
        table("schedules", page.schedules, SCHEDULES, ""),
        "</div></section>",
    ]
    return "".join(parts)


def table(title: str, rows: Sequence[Row], columns: Sequence[Cells], otherwise: str) -> str:
    """Rows as a table; columns that are empty in every row are left out."""
    if not rows:
        return f"<p>{escape(otherwise)}</p>" if otherwise else ""
    texts = [[column.text(row) for row in rows] for column in columns]
    kept = [(column, found) for column, found in zip(columns, texts, strict=True) if any(found)]
    head = "".join(f'<th scope="col"{_number(column)}>{escape(column.title)}</th>' for column, _ in kept)
    body = "".join(
        "<tr>" + "".join(f"<td{_number(column)}>{found[place]}</td>" for column, found in kept) + "</tr>"
        for place in range(len(rows))
    )
    return f"<table><caption>{escape(title)}</caption><tr>{head}</tr>{body}</table>"


def chart(series: Series) -> str:
    """A line over time with its newest and its largest value in words."""
    if len(series.points) < 2:
        return ""
    longest = max(before for before, _ in series.points)
    most = max(value for _, value in series.points)
    line = " ".join(
        f"{_WIDTH * (1 - before / (longest or 1)):.1f},{_HEIGHT * (1 - value / (most or 1)):.1f}"
        for before, value in series.points
    )
    text = f"{series.title}: {_said(series, series.last)} now, at most {_said(series, most)} in {in_words(longest)}"
    return (
        f"<figure><figcaption>{escape(text)}</figcaption>"
        f'<svg viewBox="0 -2 {_WIDTH} {_HEIGHT + 4}" width="{_WIDTH}" height="{_HEIGHT + 4}">'
        f'<polygon points="0,{_HEIGHT} {line} {_WIDTH},{_HEIGHT}" fill="currentColor" fill-opacity="0.2"/>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
        f'<line x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}" stroke="currentColor" stroke-opacity="0.4"/>'
        "</svg></figure>"
    )


def _said(series: Series, value: float | None) -> str:
    if value is None:
        return "?"
    return in_words(value) if series.unit == "s" else pace(value)


def _number(column: Cells) -> str:
    return ' class="number"' if column.number else ""


def _text(name: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = row[name]
        return "" if value is None else escape(str(value))

    return text


def _count(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name]:,}" if row[name] else ""


def _length(name: str) -> Callable[[Row], str]:
    return lambda row: "" if row[name] is None else in_words(row[name])


def _moment(value: Any) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def _paused(row: Row) -> str:
    return "<strong>paused</strong>" if row["paused"] else ""


def _advance(row: Row) -> str:
    ended = row["total"] - row["unfinished"]
    part = ended / row["total"] if row["total"] else 1.0
    percent = 100 if not row["unfinished"] else int(part * 100)
    return f'<progress max="1" value="{part:.4f}" title="{percent}%">{percent}%</progress> {percent}%'


_BY_STATUS = tuple(Cells(f"{SYMBOLS[status]} {status}", _count(status), number=True) for status in Status)
QUEUES = (
    Cells("queue", _text("name")),
    *_BY_STATUS,
    Cells("oldest ready", _length("oldest_ready_s"), number=True),
    Cells("", _paused),
)
RUNNING = (
    Cells("task", _text("task_id"), number=True),
    Cells("function", lambda row: escape(row["type"].removeprefix("__main__."))),
    Cells("batch", _text("batch")),
    Cells("queue", _text("queue")),
    Cells("for", _length("run_s"), number=True),
    Cells("worker", _text("worker"), number=True),
    Cells("host", _text("host")),
)
WORKERS = (
    Cells("worker", _text("id"), number=True),
    Cells("host", _text("host")),
    Cells("pid", _text("pid"), number=True),
    Cells("running", lambda row: f"{busy(row)} of {row['slots']}", number=True),
    Cells("in buffer", _count("buffered"), number=True),
    Cells("python", _text("python")),
    Cells("queues", lambda row: escape(", ".join(row["queues"])) if row["queues"] else "all"),
    Cells("tags", lambda row: escape(", ".join(row["tags"] or ()))),
    Cells("of", _text("owner")),
)
BATCHES = (
    Cells("batch", _text("id"), number=True),
    Cells("name", _text("name")),
    Cells("function", lambda row: escape(row["type"].removeprefix("__main__."))),
    Cells("of", _text("owner")),
    Cells("tasks", _count("total"), number=True),
    Cells("ended", _advance),
    Cells(f"{SYMBOLS[Status.ATTEMPTS_LEFT]} failed", _count("attempts_left"), number=True),
    Cells(f"{SYMBOLS[Status.ERROR]} to retry", _count("error"), number=True),
    Cells("", _paused),
)
SCHEDULES = (
    Cells("schedule", _text("name")),
    Cells("type", _text("type")),
    Cells("when", lambda row: escape(row["cron"] or f"every {in_words(row['every_s'] or 0)}")),
    Cells("in", _text("tz")),
    Cells("next", lambda row: _moment(row["next_at"])),
    Cells("last", lambda row: _moment(row["last_at"])),
    Cells("", _paused),
)
