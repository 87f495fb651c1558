"""The buttons of a panel, as widgets. Not for: what they do (``app``).

There are none without ipywidgets, and where nobody could press them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from goque.model.wording import number_of
from goque.notebook.cells import attended
from goque.notebook.kept import Kept
from goque.notebook.view import View

DOING = {"pause": "pausing …", "resume": "resuming …", "cancel": "canceling …", "retry": "retrying …"}


def made(verbs: Sequence[str], press: Callable[[str], None]) -> Controls | None:
    """A live panel with buttons for these verbs; None where there are no widgets."""
    widgets = usable()
    return None if widgets is None else Controls(widgets, verbs, press)


def usable() -> Any:
    """ipywidgets; None where it is not installed, and where nobody could use it."""
    if not attended():
        return None
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets


class Controls:
    """What a batch says, and a row of buttons: pause or resume, cancel with a question, retry what failed.

    Beside them stands a word on what came of it. ``kept`` is the name under which it goes with the HTML that is saved.
    """

    def __init__(self, widgets: Any, verbs: Sequence[str], press: Callable[[str], None]) -> None:
        self._widgets = widgets
        self._verbs = frozenset(verbs)
        self.kept = Kept()
        self._lock = threading.RLock()
        self._asking = False
        self._last = (View("", 0, {}), "", "")
        self._pause = self._button("Pause", "Start no more tasks; what runs goes on", lambda: press("pause"))
        self._resume = self._button("Resume", "Go on", lambda: press("resume"))
        self._retry = self._button("Retry failed", "Run the failed tasks again", lambda: press("retry"))
        self._cancel = self._button(
            "Cancel …", "Cancel what has not ended, and stop what runs", lambda: self._ask(True)
        )
        self._keep = self._button("Keep them", "Cancel nothing", lambda: self._ask(False))
        self._really = self._button("Cancel them", "They are canceled at once", lambda: self._confirmed(press))
        self._really.button_style = "danger"
        self._said = widgets.HTML()
        self._buttons = (self._pause, self._resume, self._retry, self._cancel, self._really, self._keep)
        row = widgets.Layout(flex_flow="row wrap", align_items="center", margin="0.2em 0 0")
        self._texts = (self._text(), self._text())
        self.box = widgets.VBox(
            [
                widgets.HTML(self.kept.hiding, layout=widgets.Layout(display="none")),
                *self._texts,
                widgets.HBox([*self._buttons, self._said], layout=row),
            ]
        )

    def say(self, *texts: str) -> None:
        """Have the text areas show this."""
        for area, markup in zip(self._texts, texts, strict=True):
            _set(area, value=markup)
            _set(area.layout, display=None if markup else "none")

    def follow(self, view: View, busy: str, said: str) -> bool:
        """Offer what can be done now; whether there is anything to do or to follow."""
        with self._lock:
            self._last = (view, busy, said)
            self._asking = self._asking and not view.complete
            there = self._there(view)
            for button, shown in there.items():
                _set(button.layout, display=None if shown else "none")
                _set(button, disabled=bool(busy))
            _set(self._retry, description=f"Retry {view.failing:,} failed")
            _set(self._really, description=f"Cancel {number_of(view.total - view.ended, 'task')}")
            _set(self._said, value=escape(DOING.get(busy, "") or said))
            return not view.complete or any(there.values())

    def _there(self, view: View) -> dict[Any, bool]:
        """Which buttons are there."""
        pausable = "pause" in self._verbs and not view.complete
        usual = {
            self._pause: pausable and not view.paused,
            self._resume: pausable and view.paused,
            self._retry: "retry" in self._verbs and view.failing > 0,
            self._cancel: "cancel" in self._verbs and not view.complete,
        }
        asking = self._asking
        return {button: shown and not asking for button, shown in usual.items()} | {
            self._really: asking,
            self._keep: asking,
        }

    def _ask(self, asking: bool) -> None:
        self._asking = asking
        self.follow(*self._last)
        # Who presses keys goes on from here, and a second press of the same key cancels nothing.
        (self._keep if asking else self._cancel).focus()

    def _confirmed(self, press: Callable[[str], None]) -> None:
        self._asking = False
        press("cancel")

    def _text(self) -> Any:
        area = self._widgets.HTML(layout=self._widgets.Layout(width="auto", margin="0", overflow="auto"))
        area.add_class(self.kept.live)
        return area

    def _button(self, word: str, hint: str, act: Callable[[], None]) -> Any:
        button = self._widgets.Button(
            description=word, tooltip=hint, layout=self._widgets.Layout(width="auto", display="none")
        )
        button.on_click(lambda _: act())
        return button


def _set(widget: Any, **values: Any) -> None:
    """Only what differs: each change is a message."""
    for name, value in values.items():
        if getattr(widget, name) != value:
            setattr(widget, name, value)
