"""The live panel of a batch in a notebook. Not for: what it says (``html``, ``text``), or what buttons do (``app``).

A panel is up to three outputs of a cell: how it goes and how it failed, both as text and as HTML, which is what a saved
notebook keeps; and a widget that says the same while it is live, with buttons. The widget goes on after the page was
loaded again, which no HTML does, so one of them hides the other (``kept``). Its parts change apart, since what is drawn
anew loses the reader's selection and the keyboard's focus.

One thread looks for all panels of a process (``Board``). It is the only one that changes widgets; a button's handler
runs on whatever thread the kernel has for it, so it only says what to do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol

from goque.errors import GoqueError
from goque.notebook import html, text
from goque.notebook.cells import at_end_of_cells, execution_count, in_notebook
from goque.notebook.progress import stopped
from goque.notebook.view import View
from goque.notebook.watching import Watch, Watched
from goque.service import Service

LOOK_S, LONGEST_S = 0.35, 2.0
"""Seconds between two looks at a panel, more while nothing happens. Servers of notebooks drop what comes faster."""
KEEP_S = 5.0
"""How often the HTML for a saved notebook is renewed while a widget shows the same."""
SETTLE_S = 0.5
"""The end of a cell waits so long at most for a last look."""
SHARE = 20
"""A panel whose look takes long is looked at so much less often."""
WIDGET = "application/vnd.jupyter.widget-view+json"

log = logging.getLogger("goque.notebook")


class Shown(Watched, Protocol):
    """What a panel shows, and what its buttons do: by name of a verb, giving a word on what came of it."""

    @property
    def key(self) -> tuple[Any, ...]: ...
    @property
    def verbs(self) -> tuple[str, ...]: ...
    def do(self, verb: str) -> str: ...


class Output:
    """One output of a cell, with copies wherever it was shown again."""

    def __init__(self) -> None:
        from IPython.display import DisplayHandle

        self._handle = DisplayHandle()
        self._bundle: dict[str, Any] = {}
        self._sent_at = float("-inf")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see now."""
        return not self._bundle["text/html"] and WIDGET not in self._bundle

    def show(self) -> None:
        """One more copy, in the cell that runs now."""
        self._handle.display(self._bundle, raw=True)

    def say(self, markup: str, plain: str, *, widget: Any = None, now: float, keep: float = 0.0) -> None:
        """Say this everywhere; not sooner than ``keep`` seconds after the last time."""
        bundle: dict[str, Any] = {"text/html": markup, "text/plain": plain}
        if widget is not None:
            bundle[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
        before = self._bundle
        if bundle == before or (before and now - self._sent_at < keep):
            return
        self._bundle, self._sent_at = bundle, now
        if before:
            # A kernel that is shutting down has closed its sockets.
            with suppress(OSError):
                self._handle.update(bundle, raw=True)


class Panel:
    """What a batch shows in the notebook."""

    def __init__(self, shown: Shown, clock: Callable[[], float] = time.monotonic) -> None:
        from goque.notebook import controls

        self._shown = shown
        self._watch = Watch(shown, clock)
        self._clock = clock
        self._lock = threading.Lock()
        self._said = ""
        self._busy = ""
        self._changed_at = clock()
        self._waited_in: int | None = None
        self.due = self.seen_at = 0.0
        self.ended = threading.Event()
        self._live = controls.made(shown.verbs, self.press)
        self._status, self._failures, self._widget = Output(), Output(), Output()

    @property
    def view(self) -> View:
        """What was seen last."""
        return self._watch.view

    def take(self, shown: Shown) -> None:
        """The same batch, as it is known now."""
        self._shown = self._watch.watched = shown

    def show(self) -> None:
        """Show it in the cell that runs now, unless that cell has just waited for it and shows it already."""
        waited_in, self._waited_in = self._waited_in, None
        if waited_in == execution_count():
            return
        with self._lock:
            self._look()
            for output in (self._status, self._failures, self._widget):
                # What is empty may fill while tasks run: only what is there can be updated.
                if not (output.is_empty and (self.ended.is_set() or output is self._widget)):
                    output.show()

    def look(self) -> None:
        """Look again, and say what has changed."""
        with self._lock:
            self._look()

    def wait(self, rest: str) -> None:
        """Wait until it has ended.

        Raises:
            KeyboardInterrupt: with a message; it ends the waiting, never the work.
        """
        self._waited_in = execution_count()
        try:
            while not self.ended.wait(0.2):
                pass
        except KeyboardInterrupt:
            raise KeyboardInterrupt(stopped(self.view, rest)) from None

    def press(self, verb: str) -> None:
        """Do what a button says, in a thread of its own: it may take long, and other panels shall go on."""
        self._busy, self._said = verb, ""
        BOARD.add(self)
        threading.Thread(target=self._do, args=(verb,), name=f"goque-{verb}", daemon=True).start()

    def _do(self, verb: str) -> None:
        try:
            self._said = self._shown.do(verb)
        except GoqueError as error:
            self._said = str(error)
        except Exception as error:
            log.exception("a button failed")
            self._said = f"{type(error).__name__}: {error}"
        self._busy = ""
        BOARD.add(self)

    def _look(self) -> None:
        began, before = self._clock(), self._watch.view
        view = self._watch.look()
        now = self._clock()
        if view.counts != before.counts or view.paused != before.paused or self._busy:
            self._changed_at = now
        self._say(view, now)
        self.seen_at = began
        quiet = (now - self._changed_at) / 10
        self.due = now + max(min(LONGEST_S, max(LOOK_S, quiet)), SHARE * (now - began))
        if view.complete and not self._busy:
            self.ended.set()
        else:
            self.ended.clear()

    def _say(self, view: View, now: float) -> None:
        shown, live = False, self._live
        status, failures = html.status(view, datetime.now(UTC)), html.failures(view)
        if live is not None:
            shown = live.follow(view, self._busy, self._said)
            live.say(html.status(view), failures)
            status, failures = live.kept.text(status, view.complete), live.kept.text(failures, view.complete)
        keep = KEEP_S if live is not None and not view.complete else 0.0
        self._status.say(status, text.sentence(view), now=now, keep=keep)
        self._failures.say(failures, text.failures(view), now=now, keep=keep)
        self._widget.say("", "", widget=live.box if live is not None and shown else None, now=now)


class Board(Service):
    """Keeps all panels of this process live. A panel whose work has ended leaves, and is not asked for again."""

    def __init__(self) -> None:
        super().__init__("panels", interval=LOOK_S, jitter=0.0)
        self._panels: dict[tuple[Any, ...], Panel] = {}
        self._live: set[Panel] = set()
        self._lock = threading.Lock()

    def panel(self, shown: Shown) -> Panel:
        """The panel of this batch: one, however often it is shown."""
        with self._lock:
            found = self._panels.get(shown.key)
            if found is None:
                found = self._panels[shown.key] = Panel(shown)
            else:
                found.take(shown)
            return found

    def add(self, panel: Panel) -> None:
        """Look at this panel now, and from now on."""
        panel.due = 0.0
        with self._lock:
            self._live.add(panel)
            self.start()
        self.wake()

    def refresh(self, belongs: Callable[[tuple[Any, ...]], bool]) -> None:
        """Look again at the panels of these keys: something was done to their batches."""
        with self._lock:
            found = [panel for key, panel in self._panels.items() if belongs(key)]
        for panel in found:
            self.add(panel)

    def forget(self, belongs: Callable[[tuple[Any, ...]], bool]) -> None:
        """Let go of the panels of these keys, after a last look."""
        self.settle()
        with self._lock:
            gone = [self._panels.pop(key) for key in list(self._panels) if belongs(key)]
            self._live.difference_update(gone)

    def settle(self, *_: object) -> None:
        """Look at all live panels before a cell ends: who runs a notebook as a program does not listen after it."""
        with self._lock:
            live = list(self._live)
        began = time.monotonic()
        for panel in live:
            panel.due = 0.0
        self.wake()
        while any(panel.seen_at < began for panel in live) and time.monotonic() < began + SETTLE_S:
            self.wait_for_turns(self.turns + 1, 0.05)

    def run_once(self) -> float | None:
        now = time.monotonic()
        with self._lock:
            live = list(self._live)
        for panel in live:
            if panel.due <= now and not self.stopping.is_set():
                self._look(panel)
        with self._lock:
            return max(0.0, min((panel.due for panel in self._live), default=now + 3600.0) - time.monotonic())

    def _look(self, panel: Panel) -> None:
        try:
            panel.look()
        except Exception:
            log.exception("a panel cannot be kept live any more; show the batch again")
            panel.ended.set()
        if panel.ended.is_set():
            with self._lock:
                self._live.discard(panel)


BOARD = Board()


def show(shown: Shown) -> Panel:
    """Show the panel of a batch in the cell that runs now, live from then on.

    Raises:
        NotImplementedError: there is no notebook; IPython then shows the plain repr.
    """
    if not in_notebook():
        raise NotImplementedError
    at_end_of_cells(BOARD.settle)
    panel = BOARD.panel(shown)
    panel.show()
    BOARD.add(panel)
    return panel
