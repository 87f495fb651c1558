"""Telling workers of what was stored: at once, seldom, and never too late."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from goque.client import waker as module
from goque.client.waker import LATEST_S, QUIET_S, Waker


class Scene:
    """A waker with a clock that stands still, timers that ring when told to, and a database that only counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.said: list[float] = []
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(module, "threading", SimpleNamespace(Lock=threading.Lock, Timer=self._timer))
        database: Any = SimpleNamespace(schema="goque", run=lambda _: self.said.append(self.now))
        self.waker = Waker(database)

    def _timer(self, pause: float, ring: Callable[[], None]) -> Any:
        entry = (self.now + pause, ring)
        return SimpleNamespace(
            start=lambda: self.timers.append(entry), cancel=lambda: entry in self.timers and self.timers.remove(entry)
        )

    def store(self) -> bool:
        """Whether it took the notification along."""
        words: list[Any] = []
        self.waker.telling(words.append)
        return words != [None]

    def pass_to(self, moment: float) -> None:
        """Let time pass, ringing each timer on its way."""
        while due := [entry for entry in self.timers if entry[0] <= moment]:
            entry = min(due, key=lambda one: one[0])
            self.timers.remove(entry)
            self.now = entry[0]
            entry[1]()
        self.now = moment


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_the_first_takes_the_notification_along_and_those_in_the_quiet_time_share_one(scene: Scene) -> None:
    assert [scene.store() for _ in range(3)] == [True, False, False]
    scene.pass_to(101.0)
    assert scene.said == [100.0 + LATEST_S]


def test_in_a_stream_no_notification_goes_by_itself_but_the_last(scene: Scene) -> None:
    alongs = 0
    for step in range(200):  # for twenty quiet times
        scene.pass_to(100.0 + step * QUIET_S / 10)
        alongs += scene.store()
    assert alongs in (19, 20)
    assert scene.said == []
    scene.pass_to(101.0)
    assert len(scene.said) == 1


def test_what_is_stored_while_another_tells_is_told_of_as_well(scene: Scene) -> None:
    def meanwhile(word: Any) -> None:
        assert word is not None
        scene.now += 0.001
        assert not scene.store()

    scene.waker.telling(meanwhile)
    scene.pass_to(101.0)
    assert len(scene.said) == 1


def test_a_stream_beside_one_that_tells_slowly_is_told_of(scene: Scene) -> None:
    scene.store()
    scene.store()  # owed from here on
    scene.now += QUIET_S

    def meanwhile(_: Any) -> None:
        scene.now += 0.001
        assert not scene.store()

    scene.waker.telling(meanwhile)
    scene.pass_to(101.0)
    assert len(scene.said) == 1


def test_what_a_failed_store_was_to_tell_of_is_still_told(scene: Scene) -> None:
    scene.store()
    assert not scene.store()
    scene.now += QUIET_S

    def fail(_: Any) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        scene.waker.telling(fail)
    scene.pass_to(101.0)
    assert len(scene.said) == 1


def test_at_the_end_what_is_owed_is_told_at_once_and_only_once(scene: Scene) -> None:
    scene.store()
    scene.store()
    scene.waker.flush()
    scene.waker.flush()
    scene.pass_to(101.0)
    assert scene.said == [100.0]
