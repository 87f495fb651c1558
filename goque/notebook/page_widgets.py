"""The widgets of a dashboard: page, buttons, and a search with verbs. Not for: what they do (``dashboard``).

Handlers run in whatever thread the front end's message came in, so they only ask; ``show`` runs in the dashboard's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from goque.history.records import records
from goque.model.durations import in_words
from goque.model.states import Status
from goque.notebook.kept import Kept
from goque.notebook.page import Page, Row
from goque.notebook.page_html import page_html
from goque.notebook.view import SYMBOLS

if TYPE_CHECKING:
    from goque.notebook.dashboard import Dashboard

_ANY = "any status"
_STYLE = "<style>.goque-rows select {font-family: monospace}</style>"


class PageWidgets:
    """The widgets of one dashboard, all copies of which show the same."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._listed: Any = None
        self.kept = Kept()
        # What scrolls is what stays while the page within is renewed, so that it stays where it was.
        self.page = widgets.HTML(page_html(dashboard.page), layout=widgets.Layout(overflow="auto"))
        self.queue = widgets.Dropdown(options=["all queues"], layout=widgets.Layout(width="14em"))
        self.pause = _button("Pause", "Start nothing more of this queue", self._pause)
        self.resume = _button("Resume", "Take back the pause", self._resume)
        self.status = widgets.Dropdown(
            options=[_ANY, *(str(status) for status in Status)], layout=widgets.Layout(width="10em")
        )
        self.texts = {
            name: widgets.Text(placeholder=hint, layout=widgets.Layout(width="11em"), continuous_update=False)
            for name, hint in _FILTERS.items()
        }
        self.search = _button("Search", "Find runs in the database, newest first", self._search)
        self.older = _button("Older", "The next page", dashboard.older)
        self.rows = widgets.SelectMultiple(rows=8, layout=widgets.Layout(width="100%", display="none"))
        self.rows.add_class("goque-rows")
        self.retry = _button("Retry selected", "Run the selected tasks again", dashboard.retry)
        self.cancel = _button("Cancel selected", "Stop the selected tasks; asks once more", None)
        self.sure = _button("Yes, cancel them", "Stop code that runs, and start nothing of it", dashboard.cancel)
        self.sure.button_style = "danger"
        self.sure.layout.display = "none"
        for button in (self.pause, self.resume, self.search, self.older, self.retry, self.sure):
            button.on_click(self._ask)
        self.cancel.on_click(lambda _: self._confirm(True))
        self.rows.observe(self._select, "index")
        self.box = widgets.VBox(
            [
                widgets.HTML(_STYLE + self.kept.hiding, layout=widgets.Layout(display="none")),
                widgets.HBox([self.queue, self.pause, self.resume], layout=_WRAP),
                self.page,
                widgets.HBox([self.status, *self.texts.values(), self.search, self.older], layout=_WRAP),
                self.rows,
                widgets.HBox([self.retry, self.cancel, self.sure], layout=_WRAP),
            ]
        )

    def show(self, page: Page) -> None:
        """Show what the dashboard saw last; what has not changed is not sent."""
        names = ["all queues", *(row["name"] for row in page.queues)]
        with self.box.hold_sync():
            self.page.value = page_html(page)
            if list(self.queue.options) != names:
                chosen = self.queue.value
                self.queue.options = names
                self.queue.value = chosen if chosen in names else names[0]
        found = self._dashboard.found
        if found is not None and found is not self._listed:
            self._listed = found
            self.rows.layout.display = ""
            self.rows.options = [(line(row), place) for place, row in enumerate(records(found))] or [
                ("nothing matches", -1)
            ]

    def _ask(self, button: Any) -> None:
        self._confirm(False)
        self._dashboard.ask(button.goque_act)

    def _confirm(self, asking: bool) -> None:
        self.sure.layout.display = "" if asking else "none"

    def _select(self, _: Any) -> None:
        found = self._dashboard.found
        if found is not None:
            self._dashboard.select(*(place for place in self.rows.index if place < len(found)))

    def _chosen(self) -> list[str]:
        return [] if self.queue.value == "all queues" else [self.queue.value]

    def _pause(self) -> str:
        self._dashboard.source.pause(*self._chosen())
        return f"paused {self.queue.value}; what runs goes on"

    def _resume(self) -> str:
        self._dashboard.source.resume(*self._chosen())
        return f"resumed {self.queue.value}"

    def _search(self) -> None:
        status = None if self.status.value == _ANY else self.status.value
        given = {name: text.value.strip() for name, text in self.texts.items()}
        batch = int(given["batch"]) if given["batch"].isdigit() else given["batch"]
        self._dashboard.search(**{**given, "status": status, "batch": batch})


_FILTERS = {"queue": "queue", "batch": "batch", "type": "function", "error_type": "error type", "since": "since, as 2h"}
_WRAP = widgets.Layout(flex_flow="row wrap")


def _button(text: str, hint: str, act: Any) -> Any:
    button = widgets.Button(description=text, tooltip=hint, layout=widgets.Layout(width="auto"))
    button.goque_act = act
    return button


def line(row: Row) -> str:
    """A run in one line of the list."""
    parts = [
        f"{SYMBOLS[Status(row['status'])]} {row['status']:<13}",
        f"{row['task_id']}" + (f"#{row['run']}" if row["run"] else ""),
        str(row["type"]).removeprefix("__main__."),
        *([f"[{row['batch']}]"] if row["batch"] else []),
        *([f"{in_words(row['run_s']):>7}"] if row["run_s"] is not None else []),
        *([f"{row['error_type']}: {row['error']}"] if row["error_type"] else []),
    ]
    return "  ".join(parts)[:160]
