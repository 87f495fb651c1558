"""A dashboard over a real queue: what it asks is bounded, and its thread does what buttons say."""

from __future__ import annotations

import time
from pathlib import Path

from goque import Queue, Status


def test_a_dashboard_shows_what_runs_finds_what_failed_and_retries_it(q: Queue, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def work(n: int) -> int:
        while n == 2 and not gate.exists():
            time.sleep(0.01)
        if not gate.exists():
            raise ValueError("closed")
        return n

    batch = q.options(max_attempts=1).map(work, range(3), name="dashboard")
    batch[0].wait(timeout=30)
    batch[1].wait(timeout=30)
    give_up_at = time.monotonic() + 30
    while batch[2].status is not Status.PROCESSING:
        assert time.monotonic() < give_up_at
    with q.dashboard(every=3600) as board:
        board.refresh()
        (row,) = [row for row in board.page.running if row["batch"] == "dashboard"]
        assert (row["task_id"], row["type"]) == (batch[2].id, batch.history()["type"][0])
        assert row["run_s"] > 0
        assert "dashboard" in board._repr_html_()
        assert board.search(batch="dashboard", status="error")["position"].tolist() == [1, 0]
        board.select(0, 1)
        gate.touch()
        assert board.retry() == "retry: 2 changed"
        assert batch.results(timeout=30) == [0, 1, 2]
        board.ask(lambda: q.pause("nothing is here"))
        assert board._refresher.wait_for_turns(1)
        q.resume("nothing is here")
        assert any(row["paused"] for row in board.page.queues if row["name"] == "nothing is here")
    assert board._refresher.join(10)


def test_a_queue_that_is_closed_ends_its_dashboards(dsn: str) -> None:
    queue = Queue(dsn)
    board = queue.dashboard(every=3600)
    board.ask(lambda: None)
    assert board._refresher.wait_for_turns(1)
    assert queue.dashboard(every=3600) is board, "a cell that is run again starts no second thread"
    queue.close()
    assert board._refresher.join(10)
