"""A view as HTML that every front end shows, saved notebooks included. Not for: when it is shown (``progress``).

Plain elements with meaning and visible text only: front ends strip scripts, roles and aria attributes from notebooks
they do not trust, and keep ``progress``, ``table`` and ``caption``.
"""

from __future__ import annotations

from html import escape

from goque.model.durations import in_words
from goque.notebook.text import pace
from goque.notebook.view import SYMBOLS, View


def panel(view: View) -> str:
    """Title, progress bar, pace, the counts by status as a table, and what there is to say."""
    facts = [f"{view.percent}%", f"{view.ended:,} of {view.total:,} ended"]
    if view.elapsed is not None:
        facts.append(in_words(view.elapsed))
    if not view.complete and view.rate is not None:
        facts.append(pace(view.rate))
    if not view.complete and view.eta is not None:
        facts.append(f"about {in_words(view.eta)} left")
    label = escape(" · ".join(facts))
    note = f'<p class="goque-note"><strong>{escape(view.note)}</strong></p>' if view.note else ""
    return (
        f'<section class="goque-batch"><p><strong>{escape(view.title)}</strong><br>'
        f'<progress max="{max(view.total, 1)}" value="{view.ended if view.total else 1}" title="{label}" '
        f'style="width: 100%; max-width: 30em">{view.percent}%</progress><br>{label}</p>{_counts(view)}{note}</section>'
    )


def _counts(view: View) -> str:
    if not view.present:
        return "<p>no tasks</p>"
    head = "".join(f'<th scope="col">{SYMBOLS[status]} {escape(str(status))}</th>' for status, _ in view.present)
    body = "".join(f"<td>{number:,}</td>" for _, number in view.present)
    return f"<table><caption>tasks by status</caption><tr>{head}</tr><tr>{body}</tr></table>"
