"""Waiting for a batch with something to look at. Not for: what is shown (``view``), or results (``Batch``)."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, TextIO

from goque.errors import DatabaseUnavailable
from goque.model.states import Status
from goque.notebook import html, text
from goque.notebook.view import Pace, View

FIRST_LOOK_S = 0.05
LOOK_S = 0.5
"""Twice a second: servers of notebooks drop output that comes much faster."""
SAY_S = 5.0
"""Where lines pile up, as in a log, one is written this often at most."""
STUCK_S = 3.0
"""How often to ask why nothing happens."""


class Followed(Protocol):
    """What can be followed."""

    @property
    def total(self) -> int: ...
    def counts(self) -> Mapping[Status, int]: ...


class Screen(Protocol):
    """Where views are shown, one after the other."""

    def show(self, view: View) -> None: ...
    def end(self, view: View) -> None: ...


def follow(
    batch: Followed,
    title: str,
    stuck: Callable[[], str | None] = lambda: None,
    screen: Screen | None = None,
    *,
    rest: str = " and the rest go on (cancel() stops them)",
) -> None:
    """Show how a batch goes on until every task has ended.

    ``stuck`` is asked now and then why nothing happens; ``rest`` is what an interrupted wait says of the rest. Only the
    calling thread writes, since output of other threads may land in another cell.

    Raises:
        KeyboardInterrupt: with a message; it ends the waiting, never the work.
    """
    screen = screen or screen_here()
    began, pace, pause = time.monotonic(), Pace(), FIRST_LOOK_S
    asked, note = began, ""
    view = View(title, batch.total, {})
    try:
        while True:
            now = time.monotonic()
            try:
                counts = dict(batch.counts())
                if now - asked >= STUCK_S:
                    asked, note = now, stuck() or ""
            except DatabaseUnavailable:
                counts, note = dict(view.counts), "the database cannot be reached; trying again"
            view = View(title, batch.total, counts, elapsed=now - began)
            pace.look(now, view.ended)
            if view.complete:
                break
            view = View(title, batch.total, counts, now - began, pace.rate, pace.eta(view.total - view.ended), note)
            screen.show(view)
            time.sleep(pause)
            pause = min(LOOK_S, pause * 1.5)
    except KeyboardInterrupt:
        message = f"stopped waiting; {view.ended:,} of {view.total:,} tasks have ended{rest}"
        screen.end(View(title, view.total, view.counts, view.elapsed, note=message))
        raise KeyboardInterrupt(message) from None
    if view.failed:
        note = "errors() groups the failures, retry() runs them again"
    screen.end(View(title, view.total, view.counts, view.elapsed, note=note if view.failed else ""))


def screen_here(stream: TextIO | None = None) -> Screen:
    """HTML in a notebook, one changing line on a terminal, a few lines elsewhere."""
    if in_notebook():
        return Cell()
    stream = sys.stderr if stream is None else stream
    return Line(stream) if stream.isatty() else Lines(stream)


def in_notebook() -> bool:
    """Whether a kernel runs this code; IPython in a terminal has none."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return getattr(shell, "kernel", None) is not None


class Line:
    """One line of a terminal, written over and over; a note gets a line of its own above it, once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._noted = ""

    def show(self, view: View) -> None:
        """Replace what the line says."""
        self._write(view, "")

    def end(self, view: View) -> None:
        """Leave the last state, and go to the next line."""
        self._write(view, "\n")

    def _write(self, view: View, end: str) -> None:
        if view.note and view.note != self._noted:
            self._noted = view.note
            self._stream.write(f"\r{view.note}\x1b[K\n")
        width = shutil.get_terminal_size().columns
        # Erased to its end: the terminal may have become narrower, or the text shorter.
        self._stream.write(f"\r{text.line(view, width)}\x1b[K{end}")
        self._stream.flush()


class Lines:
    """Lines for a log: one when something has changed, seldom."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last: tuple[Any, ...] = ()
        self._said_at = clock()

    def show(self, view: View) -> None:
        """Say it if it is new, and the last line is old enough."""
        state = (dict(view.counts), view.note)
        if state == self._last or self._clock() - self._said_at < SAY_S:
            return
        self._last, self._said_at = state, self._clock()
        self._say(view)

    def end(self, view: View) -> None:
        """The last word."""
        self._say(view)

    def _say(self, view: View) -> None:
        self._stream.write(text.sentence(view) + "\n")
        self._stream.flush()


class Cell:
    """The output of a notebook's cell, updated in place; the last state stays in the saved notebook."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown = ""

    def show(self, view: View) -> None:
        """Replace the output, if it differs."""
        found = html.panel(view)
        if found != self._shown:
            self._shown = found
            self._display({"text/html": found, "text/plain": text.sentence(view)})

    def end(self, view: View) -> None:
        """Leave the last state."""
        self.show(view)

    def _display(self, bundle: Mapping[str, str]) -> None:
        from IPython.display import DisplayHandle

        if self._handle is None:
            self._handle = DisplayHandle()
            self._handle.display(bundle, raw=True)
        else:
            # A kernel that is shutting down has closed its sockets; the waiting goes on all the same.
            with suppress(OSError):
                self._handle.update(bundle, raw=True)
