"""A worker's heartbeat and desk when statements fail or answers are lost."""

from __future__ import annotations

import time
from typing import Any

import pytest

from goque.errors import DatabaseUnavailable
from goque.model.outcomes import Outcome
from goque.queries import workers
from goque.worker import desk as desks
from goque.worker.desk import Desk, Ended, Held
from goque.worker.heartbeat import LEASE_S, Heartbeat
from tests.post import Post
from tests.rig import Rig


class TestHeartbeat:
    def heartbeat(self, post: Post, told: list[object]) -> Heartbeat:
        line: Any = post.asking
        return Heartbeat(
            line,
            post.claimer._me,
            post.desk,
            count_running=lambda: 0,
            on_lost=lambda: told.append("lost"),
            on_others_lost=told.append,
            on_silence=told.append,
        )

    def test_a_worker_whose_lease_is_over_claims_nothing_until_its_heart_beats_again(
        self, rig: Rig, lane: int, post: Post
    ) -> None:
        told: list[object] = []
        heartbeat = self.heartbeat(post, told)
        rig.tasks(lane, 1)
        post.claimer._me.well_until = time.monotonic() - 1
        assert post.claim() == []
        post.asking.breaks = {"workers.beat": "before"}
        with pytest.raises(DatabaseUnavailable):
            heartbeat.run_once()
        assert told == [True]
        heartbeat.run_once()
        assert told == [True, False]
        assert len(post.claim()) == 1
        post.desk.unstarted(post.desk.everything())
        post.write()

    def test_a_lease_ends_before_others_can_have_looked_often_enough(self) -> None:
        assert LEASE_S < workers.BEAT_S * workers.PUNCTUAL * workers.LOOKS

    def test_a_worker_hears_once_that_it_was_lost(self, rig: Rig, post: Post) -> None:
        told: list[object] = []
        heartbeat = self.heartbeat(post, told)
        rig.lose(post.worker.id)
        heartbeat.run_once()
        assert told == ["lost"]
        assert heartbeat.stopping.is_set()


def held_at(task: int, run: int, *, lane: int) -> Held:
    """A task as claim number ``run`` brought it."""
    return Held(task, lane, run, 0, 3, 0, 0, None, None, False, b"", None, None, run, 0.0)


class TestDesk:
    def test_a_task_that_came_back_before_its_hand_back_was_heard_of_is_counted_once(self) -> None:
        desk = Desk()
        early, late = (held_at(1, run, lane=7) for run in (1, 2))
        desk.claimed([early])
        desk.claimed([late])
        desk.written([early])
        assert desk.find(1) is late
        assert desk.by_lane() == [(7, 1)]
        desk.written([early])
        desk.written([late])
        assert desk.idle
        assert desk.by_lane() == []
        assert desk.outgoing(10)[2] == [1, 2]

    def test_what_is_being_written_is_over_until_it_is_written(self) -> None:
        desk = Desk()
        runs, ends, goes_back = (held_at(task, 1, lane=7) for task in (1, 2, 3))
        desk.claimed([runs, ends, goes_back])
        desk.ended([Ended(ends, Outcome("done"))])
        desk.unstarted([goes_back])
        assert desk.load() == (0, 2, 3)
        ended, unstarted, claims = desk.outgoing(10)
        assert desk.load() == (0, 2, 3)
        desk.unwritten(ended, unstarted, claims)
        assert desk.load() == (0, 2, 3)
        desk.outgoing(10)
        desk.written([ends, goes_back])
        assert desk.load() == (0, 0, 1)

    def test_results_are_written_in_messages_of_a_size_that_postgresql_takes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(desks, "MOST_BYTES", 100)
        desk = Desk()
        sizes = [40, 40, 40, 500, 10, 10]
        desk.ended(Ended(held_at(n, 1, lane=1), Outcome("done", result=b"r" * size)) for n, size in enumerate(sizes))
        written = []
        while found := desk.outgoing(10)[0]:
            written.append([len(one.outcome.result or b"") for one in found])
        assert written == [[40, 40], [40], [500], [10, 10]]
