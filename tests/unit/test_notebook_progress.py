"""Waiting with something to look at, with a batch made up of counts. Not for: kernels (tests/integration)."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest

from goque.model.states import Status
from goque.notebook import progress, watching
from goque.notebook.cells import in_notebook
from goque.notebook.view import Failures, Running, View
from goque.notebook.watching import Glance, Watch


class Ended:
    """A batch of which so many tasks have ended, one number for each look, the last one for ever."""

    title = "batch 7"

    def __init__(self, *ended: int, total: int = 4, failed: int = 0, stuck: str | None = None) -> None:
        self.total = total
        self._failed = failed
        self._stuck = stuck
        self._ended = itertools.chain(ended, itertools.repeat(ended[-1]))

    def glance(self) -> Glance:
        ended = next(self._ended)
        if ended < 0:
            raise KeyboardInterrupt
        left = self.total - ended
        return Glance({Status.DONE: ended - self._failed, Status.ATTEMPTS_LEFT: self._failed, Status.NEW: left})

    def running(self) -> list[Running]:
        return []

    def failures(self) -> list[Failures]:
        return []

    def stuck(self) -> str | None:
        return self._stuck


def follow(screen: progress.Screen, *ended: int, **more: Any) -> None:
    progress.follow(Watch(Ended(*ended, **more)), screen)


class Seen:
    """A screen that keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[View] = []
        self.last: list[View] = []

    def show(self, view: View) -> None:
        self.shown.append(view)

    def end(self, view: View) -> None:
        self.last.append(view)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LOOK_S", 0.001)
    monkeypatch.setattr(progress, "LOOK_S", 0.001)


def test_every_look_is_shown_and_the_last_state_stays() -> None:
    screen = Seen()
    follow(screen, 0, 1, 3, 4)
    assert [view.ended for view in screen.shown] == [0, 1, 3]
    assert [view.complete for view in screen.last] == [True]


def test_a_batch_that_has_ended_already_is_shown_once() -> None:
    screen = Seen()
    follow(screen, 0, total=0)
    assert (len(screen.shown), len(screen.last)) == (0, 1)


def test_failures_name_what_can_be_done_about_them() -> None:
    screen = Seen()
    follow(screen, 4, failed=2)
    assert "retry()" in screen.last[0].note


def test_an_interrupt_ends_the_waiting_and_says_that_the_work_goes_on() -> None:
    screen = Seen()
    with pytest.raises(KeyboardInterrupt, match="stopped waiting; 3 of 4 tasks have ended and the rest go on"):
        follow(screen, 0, 3, -1)
    assert "the rest go on" in screen.last[0].note


def test_when_nothing_happens_the_reason_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "STUCK_S", 0.0)
    screen = Seen()
    follow(screen, 0, 0, 4, stuck="no worker is alive; start one")
    assert screen.shown[1].note == "no worker is alive; start one"


def test_a_terminal_has_one_line_that_changes() -> None:
    stream = Terminal()
    follow(progress.screen_here(stream), 0, 2, 4)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().count("\r") == 3


def test_a_note_stands_above_the_line_of_a_terminal_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "STUCK_S", 0.0)
    stream = Terminal()
    follow(progress.screen_here(stream), 0, 0, 1, 4, stuck="no worker is alive")
    assert stream.getvalue().count("no worker is alive") == 1
    assert "\rno worker is alive\x1b[K\n\r[" in stream.getvalue()


def test_a_log_gets_a_line_at_the_end_and_few_before() -> None:
    stream = io.StringIO()
    follow(progress.screen_here(stream), 0, 1, 2, 3, 4)
    assert stream.getvalue().splitlines() == [stream.getvalue().strip()]
    assert "4 of 4 ended" in stream.getvalue()


def test_a_log_gets_a_line_when_something_changed_and_some_time_has_passed() -> None:
    clock = iter([0.0, 1.0, 6.0, 6.0, 12.0, 18.0, 18.0])
    stream = io.StringIO()
    lines = progress.Lines(stream, clock=lambda: next(clock))
    for ended in (1, 2, 2, 3):  # too soon; said; the same again; said
        lines.show(View("batch 7", 4, {Status.DONE: ended}))
    assert [line.split(" of ")[0] for line in stream.getvalue().splitlines()] == ["batch 7: 2", "batch 7: 3"]


def test_outside_a_kernel_there_is_no_notebook() -> None:
    assert not in_notebook()
