"""A batch as its panel sees it: what to ask of the database, and what its buttons do. Not for: showing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from goque.app.core import Core, refuse_waiting_inside
from goque.app.outcomes import going_on
from goque.app.reasons import stuck
from goque.client.spans import Span, size_of
from goque.model.identity import position_of
from goque.model.states import FAILED, Counts, Status
from goque.notebook import html, panel, progress
from goque.notebook.cells import in_notebook, named
from goque.notebook.view import Failures, Running
from goque.notebook.watching import Glance, Watch
from goque.queries import glance, listing, looking
from goque.sql import statement_of

MOST_RUNNING, MOST_FAILURES = 5, 8
"""Rows of a panel."""


class Handle(Protocol):
    """What is needed of a batch."""

    @property
    def id(self) -> int: ...
    def counts(self) -> Counts: ...
    def where(self, *, status: Sequence[Status]) -> Handle: ...
    def retry(self) -> object: ...
    def cancel(self) -> object: ...
    def pause(self) -> object: ...
    def resume(self) -> object: ...


class BatchShown:
    """A batch, or a part of one, for ``goque.notebook``."""

    def __init__(self, core: Core, batch: Handle, title: str, spans: Sequence[Span], *, whole: bool) -> None:
        self._core = core
        self._batch = batch
        self._spans = spans
        self._whole = whole
        self.title = title
        self.total = size_of(spans)
        self.key = (id(core), batch.id, None if whole else tuple(spans))
        self.verbs: tuple[str, ...] = ()
        if not core.read_only:
            self.verbs = ("pause", "resume", "cancel", "retry") if whole else ("cancel", "retry")

    # Where it is shown

    def show(self) -> None:
        """A live panel in the cell that runs now."""
        panel.show(self)

    def still(self) -> str:
        """As it is now, as HTML."""
        return html.panel(Watch(self).look())

    def wait(self) -> None:
        """Wait until it has ended, with something to look at."""
        refuse_waiting_inside()
        rest = going_on(self._core, self._spans)
        if in_notebook():
            panel.show(self).wait(rest)
        else:
            progress.follow(Watch(self), rest=rest)

    # What is asked

    def glance(self) -> Glance:
        """Counts, and what else one cheap statement tells; of a part only the counts, which are counted."""
        if not self._whole:
            return Glance(self._batch.counts())
        found = self._core.database.one(glance.glance(self._batch.id, local=self._core.local.slots > 0))
        return Glance(found.counts, found.paused, found.age_s, found.workers, found.slots)

    def running(self) -> Sequence[Running]:
        """The tasks that have been running longest."""
        if not self._whole or not self._spans:
            return ()
        rows = self._core.database.all(glance.running(*self._spans[0], MOST_RUNNING))
        return [Running(position_of(row.id) or 0, row.seconds, _said(row.progress)) for row in rows]

    def failures(self) -> Sequence[Failures]:
        """What went wrong, in groups."""
        query = listing.failures(MOST_FAILURES, arguments=False)
        rows = self._core.database.all(statement_of(query, name="failures", values=looking.span_values(self._spans)))
        return [_failures(*row) for row in rows]

    def stuck(self) -> str | None:
        """Why nothing of it is being run. Asking revives local workers that have ended."""
        lanes = self._core.lanes_of(self._batch.id)
        self._core.local.keep_alive(lanes)
        return stuck(self._core, lanes)

    # What is done

    def do(self, verb: str) -> str:
        """What a button says."""
        if verb == "retry":
            return str(self._batch.where(status=sorted(FAILED)).retry())
        if verb == "cancel":
            return str(self._batch.cancel())
        self._batch.pause() if verb == "pause" else self._batch.resume()
        return ""


def _said(progress: dict[str, Any] | None) -> str:
    """What a task said of its progress, in words."""
    if not progress:
        return ""
    done, total, note = (progress.get(name) for name in ("done", "total", "note"))
    number = "" if done is None else f"{done:,.10g}" + (f" of {total:,.10g}" if total is not None else "")
    return " ".join(filter(None, (number, note)))


def _failures(error_type: str, frame: str | None, error: str | None, number: int, task: int, *rest: Any) -> Failures:
    traceback = rest[-1]
    return Failures(
        number=number,
        error_type=error_type,
        message=error or "",
        frame=named(frame or ""),
        position=position_of(task) or 0,
        traceback=named(traceback or error or ""),
    )
