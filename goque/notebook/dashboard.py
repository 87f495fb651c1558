"""``q.dashboard()``: a queue on one page that keeps itself new. Not for: one batch (its own display), or the SQL.

Without widgets it is HTML of the moment at which it is shown. With them it goes on by itself, has buttons, and finds
runs by filters in the database.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from goque.errors import GoqueError
from goque.history.records import records
from goque.notebook.cells import in_notebook
from goque.notebook.controls import usable
from goque.notebook.page import Looks, Page
from goque.notebook.page_html import page_html
from goque.service import Service

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = 10
"""Rows of each table that can be long."""
EVERY_S = 2.0
CLOSING_S = 5.0
"""Seconds that closing waits for a look that is under way."""
FOUND = 100
"""Runs that a search shows at once; ``older`` goes on."""
SEARCHED = (
    "task_id", "run", "status", "type", "queue", "batch", "position", "started_at", "run_s", "error_type", "error",
)  # fmt: skip


class Source(Protocol):
    """The queue that is shown."""

    def queues(self, **filters: Any) -> DataFrame: ...
    def batches(self, **filters: Any) -> DataFrame: ...
    def workers(self, *, alive: bool | None = None, **filters: Any) -> DataFrame: ...
    def schedules(self) -> DataFrame: ...
    def history(self, **filters: Any) -> DataFrame: ...
    def retry(self, *what: int) -> Any: ...
    def cancel(self, *what: int) -> Any: ...
    def pause(self, *queues: str) -> None: ...
    def resume(self, *queues: str) -> None: ...
    def now(self) -> datetime: ...


class Dashboard:
    """A queue on one page. ``found`` is what was searched last, ``selected`` what of it was chosen, as frames.

    Only its own thread writes to widgets: buttons say what they want by ``ask``, and never keep the kernel busy.
    """

    def __init__(self, source: Source, running: Callable[[int], DataFrame], title: str) -> None:
        self.source = source
        self.page = Page(title)
        self.found: DataFrame | None = None
        self.selected: DataFrame | None = None
        self._running = running
        self._looks = Looks()
        self._filters: Mapping[str, Any] = {}
        self._asked: deque[Callable[[], Any]] = deque()
        self._refresher = _Refresher(self)
        self._widgets: Any = None

    def __repr__(self) -> str:
        return f"<Dashboard of {self.page.title}, {self.page.unfinished:,} tasks unfinished>"

    def _repr_html_(self) -> str:
        return page_html(self.refresh())

    def _ipython_display_(self) -> None:
        """What is saved, and in its place what is live, where somebody can use it."""
        if not in_notebook():
            raise NotImplementedError
        from IPython.display import display

        markup = self._repr_html_()
        if usable() is None:
            display({"text/plain": repr(self), "text/html": markup}, raw=True)
            return
        from goque.notebook.page_widgets import PageWidgets

        if self._widgets is None:
            self._widgets = PageWidgets(self)
        self._refresher.start()
        kept = self._widgets.kept.text(markup, False)
        display({"text/plain": repr(self), "text/html": kept}, raw=True)
        display(self._widgets.box)

    def refresh(self) -> Page:
        """Look again. Every statement is bounded, however many tasks there are."""
        queues = records(self.source.queues(limit=100))
        self._looks.look(time.monotonic(), queues)
        self.page = Page(
            self.page.title,
            self.source.now().astimezone(UTC),
            queues,
            records(self._running(SHOWN)),
            records(self.source.workers(alive=True, limit=50)),
            records(self.source.batches(limit=SHOWN)),
            records(self.source.schedules()),
            self._looks.series(),
            self.page.note,
        )
        return self.page

    # Looking for runs

    def search(self, **filters: Any) -> DataFrame:
        """The newest runs that these filters of ``history`` let pass; they work in the database."""
        self._filters = {name: value for name, value in filters.items() if value not in (None, "", ())}
        return self._found(None)

    def older(self) -> DataFrame:
        """The next page of what was searched last."""
        return self._found(None if self.found is None else self.found.attrs.get("next"))

    def _found(self, after: Any) -> DataFrame:
        given = {"order_by": "-task_id", "limit": FOUND, "columns": SEARCHED, "after": after, **self._filters}
        self.found = self.source.history(**given)
        self.selected = self.found.iloc[:0]
        return self.found

    def select(self, *places: int) -> DataFrame:
        """Choose these rows of ``found``."""
        assert self.found is not None
        self.selected = self.found.iloc[list(places)]
        return self.selected

    def retry(self) -> str:
        """Run the selected tasks again."""
        return self._done("retry", self.source.retry)

    def cancel(self) -> str:
        """Cancel the selected tasks."""
        return self._done("cancel", self.source.cancel)

    def _done(self, verb: str, act: Callable[..., Any]) -> str:
        if self.selected is None or self.selected.empty:
            return f"select what to {verb} first"
        return f"{verb}: {act(*dict.fromkeys(map(int, self.selected['task_id'])))}"

    # Its own thread

    def every(self, seconds: float) -> None:
        """Look so often."""
        self._refresher.interval = seconds

    def ask(self, act: Callable[[], Any]) -> None:
        """Have its thread do this soon; what it returns, or the error of goque it raises, is shown as a note."""
        self._asked.append(act)
        self._refresher.start()
        self._refresher.wake()

    def turn(self) -> None:
        """Do what was asked, look again, and show it."""
        note: Any = None
        while self._asked:
            try:
                note = self._asked.popleft()()
            except GoqueError as error:
                note = str(error)
        if isinstance(note, str):
            self.page = replace(self.page, note=note)
        try:
            page = self.refresh()
        except GoqueError as error:
            page = replace(self.page, note=str(error))
        if self._widgets is not None:
            self._widgets.show(page)

    def close(self) -> None:
        """Stop refreshing. What was shown last stays."""
        self._refresher.stop()
        self._refresher.join(CLOSING_S)

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Refresher(Service):
    tells_outages = False

    def __init__(self, dashboard: Dashboard) -> None:
        super().__init__("dashboard", interval=EVERY_S)
        self._dashboard = dashboard

    def run_once(self) -> None:
        self._dashboard.turn()
