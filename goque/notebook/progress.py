"""Waiting for a batch on a terminal or in a log. Not for: notebooks (``panel``), or what is shown (``view``)."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TextIO

from goque.notebook import text
from goque.notebook.view import View
from goque.notebook.watching import Watch

FIRST_LOOK_S = 0.05
LOOK_S = 0.5
SAY_S = 5.0
"""Where lines pile up, as in a log, one is written this often at most."""


class Screen(Protocol):
    """Where views are shown, one after the other."""

    def show(self, view: View) -> None: ...
    def end(self, view: View) -> None: ...


def follow(
    watch: Watch, screen: Screen | None = None, *, rest: str = " and the rest go on (cancel() stops them)"
) -> None:
    """Show how a batch goes on until every task has ended; ``rest`` is what an interrupted wait says of the rest.

    Raises:
        KeyboardInterrupt: with a message; it ends the waiting, never the work.
    """
    screen = screen or screen_here()
    pause = FIRST_LOOK_S
    try:
        while not (view := watch.look()).complete:
            screen.show(view)
            time.sleep(pause)
            pause = min(LOOK_S, pause * 1.5)
    except KeyboardInterrupt:
        screen.end(replace(watch.view, note=stopped(watch.view, rest)))
        raise KeyboardInterrupt(stopped(watch.view, rest)) from None
    screen.end(view)


def stopped(view: View, rest: str) -> str:
    """What an interrupted wait says."""
    return f"stopped waiting; {view.ended:,} of {view.total:,} tasks have ended{rest}"


def screen_here(stream: TextIO | None = None) -> Screen:
    """One changing line on a terminal, a few lines elsewhere."""
    stream = sys.stderr if stream is None else stream
    return Line(stream) if stream.isatty() else Lines(stream)


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
