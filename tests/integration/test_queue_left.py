"""Work that is left when local workers end is told by who leaves it, and by who comes next."""

from __future__ import annotations

import pytest

from goque import Queue

pytestmark = pytest.mark.direct


def test_what_is_left_is_told_by_who_leaves_it_and_by_who_comes_next(
    alone: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    owner = alone._core.settings.owner
    first = Queue(alone.dsn, workers=1, owner=owner)
    first.options(tags=["gpu"]).map(abs, [1, 2])
    assert first.submit(abs, -3).result(timeout=60) == 3
    assert caplog.messages == []
    first.close()
    first.close()
    [left] = caplog.messages
    assert left.startswith("goque: 2 tasks have not ended, and the workers of this process end with it; q.resume()")
    caplog.clear()
    for workers, who in ((0, owner), (1, "somebody else")):
        Queue(alone.dsn, workers=workers, owner=who).close()
    assert caplog.messages == []
    second = Queue(alone.dsn, workers=1, owner=owner)
    assert caplog.messages == ["goque: 2 tasks of yours have not ended, and no worker is alive; q.resume() goes on"]
    second.last.cancel()
    second.close()
    assert len(caplog.messages) == 1


def test_where_a_worker_lives_it_may_be_at_them(alone: Queue, caplog: pytest.LogCaptureFixture) -> None:
    alone.options(tags=["gpu"]).map(abs, [1, 2])
    alone.start_workers(1)
    assert alone.submit(abs, -3).result(timeout=60) == 3
    Queue(alone.dsn, workers=1, owner=alone._core.settings.owner).close()
    assert caplog.messages == []
