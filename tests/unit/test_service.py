"""The loop of every background duty, driven by signals."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from goque.errors import DatabaseUnavailable
from goque.service import Service

_FOREVER = 3600.0


class Duty(Service):
    """A service whose turns are a list of actions, then nothing."""

    def __init__(self, *actions: Callable[[], float | None], interval: float = _FOREVER) -> None:
        super().__init__("duty", interval=interval)
        self.actions = list(actions)
        self.ended = threading.Event()

    def run_once(self) -> float | None:
        return self.actions.pop(0)() if self.actions else None

    def on_stop(self) -> None:
        self.ended.set()


def _failing(error: Exception) -> Callable[[], float | None]:
    def fail() -> float | None:
        raise error

    return fail


def test_it_runs_at_once_and_then_when_woken() -> None:
    duty = Duty()
    duty.start()
    assert duty.wait_for_turns(1)
    duty.wake()
    assert duty.wait_for_turns(2)
    assert duty.running
    duty.stop()
    assert duty.join(10)
    assert duty.ended.is_set()
    assert not duty.running


def test_it_runs_again_after_its_interval() -> None:
    duty = Duty(interval=0.001)
    duty.start()
    assert duty.wait_for_turns(5)
    duty.stop()
    assert duty.join(10)


def test_a_turn_may_ask_for_the_next_one() -> None:
    duty = Duty(lambda: 0.0, lambda: 0.0)
    duty.start()
    assert duty.wait_for_turns(3)
    duty.stop()
    assert duty.join(10)


def test_a_wake_up_during_a_turn_leads_to_another_turn() -> None:
    duty = Duty(lambda: duty.wake())
    duty.start()
    assert duty.wait_for_turns(2)
    duty.stop()
    assert duty.join(10)


def test_an_error_is_logged_backed_off_and_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    duty = Duty(_failing(ValueError("broken")), _failing(DatabaseUnavailable("no server")), lambda: _FOREVER)
    with caplog.at_level(logging.INFO, "goque.service"):
        duty.start()
        assert duty.wait_for_turns(2)
        assert duty.failures == 2
        assert isinstance(duty.last_error, DatabaseUnavailable)
        assert duty.wait_for_turns(3)
    duty.stop()
    assert duty.join(10)
    assert duty.failures == 0
    levels = {record.levelname: record for record in caplog.records}
    assert levels["ERROR"].exc_info is not None
    assert "no server" in levels["WARNING"].getMessage()
    assert "works again after 2 failures" in levels["INFO"].getMessage()


def test_stopping_ends_a_backoff_at_once() -> None:
    duty = Duty(*[_failing(ValueError("broken"))] * 3)
    duty.start()
    assert duty.wait_for_turns(1)
    duty.stop()
    assert duty.join(10)
    assert duty.turns == 1


def test_it_can_be_started_again_and_starting_twice_is_nothing() -> None:
    duty = Duty()
    duty.start()
    first = duty._thread
    duty.start()
    assert duty._thread is first
    assert duty.wait_for_turns(1)
    duty.stop()
    assert duty.join(10)
    duty.start()
    assert duty.wait_for_turns(2)
    duty.stop()
    assert duty.join(10)


def test_a_turn_can_stop_its_own_service() -> None:
    duty = Duty(lambda: duty.stop(), interval=0.0)
    duty.start()
    assert duty.join(10)
    assert duty.turns == 1


def test_stopping_one_that_never_started_is_nothing() -> None:
    duty = Duty()
    duty.stop()
    assert duty.join(1)


def test_the_pause_is_spread() -> None:
    duty = Duty()
    pauses = {duty._spread(10) for _ in range(50)}
    assert len(pauses) > 10
    assert all(9 <= pause <= 11 for pause in pauses)
