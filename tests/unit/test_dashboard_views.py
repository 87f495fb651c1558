"""What is on a dashboard, and what its buttons ask for, without a kernel. Not for: the statements."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from goque.errors import DatabaseUnavailable
from goque.history.records import records
from goque.model.states import Status
from goque.notebook.controls import made, usable
from goque.notebook.dashboard import Dashboard
from goque.notebook.kept import Kept
from goque.notebook.page import Looks, Page
from goque.notebook.page_html import page_html
from goque.notebook.page_widgets import PageWidgets, line
from goque.notebook.view import View

STATUSES = ("new", "pending", "processing", "done", "error", "attempts_left", "canceled")


def queue(name: str, *, oldest: float | None = None, paused: bool = False, **counts: int) -> dict[str, Any]:
    return {"name": name, "paused": paused, "oldest_ready_s": oldest, **dict.fromkeys(STATUSES, 0), **counts}


def worker(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": number, "host": "here", "pid": 7, "running": 2, "slots": 8, "buffered": 0, "python": "3.12",
        "queues": None, "tags": ["gpu"], "owner": "ada", **more,
    }  # fmt: skip


def batch(**more: Any) -> dict[str, Any]:
    return {
        "id": 1000, "name": "nightly", "type": "jobs.parse", "owner": "ada", "total": 200, "unfinished": 50, "error": 0,
        "attempts_left": 3, "paused": False, **more,
    }  # fmt: skip


def run(**more: Any) -> dict[str, Any]:
    return {
        "task_id": 5, "run": 2, "status": "error", "type": "f", "queue": "etl", "batch": None, "position": None,
        "started_at": None, "run_s": 1.5, "error_type": "ValueError", "error": "no", **more,
    }  # fmt: skip


class Source:
    """A queue that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.away = False

    def queues(self, **_: Any) -> pd.DataFrame:
        if self.away:
            raise DatabaseUnavailable("nobody answers at localhost:5432")
        return pd.DataFrame([queue("etl", new=3, done=1), queue("mail")])

    def batches(self, **_: Any) -> pd.DataFrame:
        return pd.DataFrame([batch()])

    def workers(self, **_: Any) -> pd.DataFrame:
        return pd.DataFrame([worker()])

    def schedules(self) -> pd.DataFrame:
        return pd.DataFrame()

    def history(self, **filters: Any) -> pd.DataFrame:
        self.asked.append({name: value for name, value in filters.items() if name not in ("columns", "limit")})
        frame = pd.DataFrame([run(task_id=9), run(task_id=9, run=1), run(task_id=5)])
        frame.attrs["next"] = [5, 2]
        return frame

    def now(self) -> datetime:
        return datetime(2026, 11, 24, 9, 30, tzinfo=UTC)

    def __getattr__(self, verb: str) -> Any:
        return lambda *what: self.asked.append((verb, *what)) or f"{len(what)} changed"


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def dashboard(source: Source) -> Dashboard:
    return Dashboard(source, lambda limit: pd.DataFrame(), title="queue of tests")  # type: ignore[arg-type]


@pytest.fixture
def controls(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch) -> PageWidgets:
    """The widgets; what is asked for is done when ``dashboard.turn`` is called, since no thread is started."""
    monkeypatch.setattr(dashboard._refresher, "start", lambda: None)
    dashboard._widgets = PageWidgets(dashboard)
    dashboard.turn()
    return dashboard._widgets


def test_a_board_says_how_much_is_left_who_works_and_what_is_paused() -> None:
    found = page_html(
        Page(
            "queue of tests",
            queues=[queue("etl", new=1_000, processing=2, oldest=65.0), queue("mail", paused=True, error=1)],
            workers=[worker(), worker(2, running=99)],
            batches=[batch(), batch(unfinished=0)],
        )
    )
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", found, flags=re.DOTALL)
    for said in ("1,003 unfinished", "10 of 16 slots busy", "1 min 5 s", " paused ", "75%", "100%", "✗ failed", "gpu"):
        assert said in text, said
    assert not re.search(r"<script|role=|aria-", found)


def test_an_empty_board_says_how_to_begin() -> None:
    found = page_html(Page("queue of tests"))
    assert "no work has been submitted yet" in found
    assert "goque worker" in found


def test_names_and_notes_cannot_become_markup() -> None:
    bad = "<b onclick=x>"
    found = page_html(Page(bad, queues=[queue(bad)], workers=[worker(host=bad)], batches=[batch(name=bad)], note=bad))
    assert "<b" not in found.replace("<body", "")


def test_pace_and_wait_are_told_from_counters_and_a_retry_is_no_negative_pace() -> None:
    looks = Looks()
    for at, done, oldest in ((0.0, 0, None), (2.0, 100, 4.0), (4.0, 50, 6.0)):
        looks.look(at, [queue("etl", done=done, oldest=oldest)])
    pace, wait = looks.series()
    assert pace.points == [(2.0, 50.0), (0.0, 0.0)]
    assert wait.points == [(4.0, 0.0), (2.0, 4.0), (0.0, 6.0)]
    assert "at most 50/s" in page_html(Page("q", series=(pace, wait)))


def test_one_look_draws_nothing() -> None:
    looks = Looks()
    looks.look(0.0, [queue("etl")])
    assert "<svg" not in page_html(Page("q", series=looks.series()))


def test_filters_go_to_the_database_and_a_page_goes_on_where_the_last_one_ended(
    source: Source, dashboard: Dashboard
) -> None:
    dashboard.search(status="error", batch="", since="2h")
    dashboard.older()
    common = {"order_by": "-task_id", "status": "error", "since": "2h"}
    assert source.asked == [{**common, "after": None}, {**common, "after": [5, 2]}]


def test_verbs_take_each_selected_task_once(source: Source, dashboard: Dashboard) -> None:
    assert "select what to retry first" in dashboard.retry()
    dashboard.search()
    dashboard.select(0, 1, 2)
    assert dashboard.retry() == "retry: 2 changed"
    assert source.asked[-1] == ("retry", 9, 5)


def test_buttons_act_in_the_thread_of_the_dashboard_and_what_came_of_it_is_shown(
    source: Source, dashboard: Dashboard, controls: PageWidgets
) -> None:
    controls.queue.value = "mail"
    controls.pause.click()
    assert source.asked == []
    dashboard.turn()
    assert source.asked == [("pause", "mail")]
    assert "paused mail" in controls.page.value
    controls.status.value, controls.texts["batch"].value = "error", " 1000 "
    controls.search.click()
    dashboard.turn()
    assert source.asked[-1] == {"order_by": "-task_id", "after": None, "status": "error", "batch": 1000}
    assert [text for text, _ in controls.rows.options] == [line(row) for row in records(source.history())]
    controls.rows.index = (2,)
    controls.retry.click()
    dashboard.turn()
    assert source.asked[-1] == ("retry", 5)
    assert dashboard.selected is not None
    assert dashboard.selected["task_id"].tolist() == [5]


def test_cancel_asks_once_more_and_forgets_that_when_something_else_is_pressed(
    source: Source, dashboard: Dashboard, controls: PageWidgets
) -> None:
    dashboard.search()
    dashboard.select(0)
    controls.cancel.click()
    dashboard.turn()
    assert not any(asked[0] == "cancel" for asked in source.asked if isinstance(asked, tuple))
    assert controls.sure.layout.display != "none"
    controls.resume.click()
    assert controls.sure.layout.display == "none"
    controls.cancel.click()
    controls.sure.click()
    dashboard.turn()
    assert source.asked[-1] == ("cancel", 9)


def test_an_outage_is_a_note_and_goes_away(source: Source, dashboard: Dashboard, controls: PageWidgets) -> None:
    source.away = True
    dashboard.turn()
    assert "nobody answers" in controls.page.value
    source.away = False
    dashboard.turn()
    assert "nobody answers" not in controls.page.value
    assert "etl" in controls.page.value


def test_without_widgets_there_is_html(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **_: shown.append(bundle))
    with pytest.raises(NotImplementedError):
        dashboard._ipython_display_()
    monkeypatch.setattr("goque.notebook.dashboard.in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    dashboard._ipython_display_()
    [bundle] = shown
    assert set(bundle) == {"text/plain", "text/html"}
    assert "goque-kept" not in bundle["text/html"]
    assert "<table>" in bundle["text/html"]


@pytest.mark.parametrize(
    ("content", "there"), [({"allow_stdin": False}, False), ({"allow_stdin": True}, True), ({}, True)]
)
def test_there_are_widgets_where_somebody_can_use_them(
    monkeypatch: pytest.MonkeyPatch, content: dict[str, bool], there: bool
) -> None:
    kernel = SimpleNamespace(get_parent=lambda: {"content": content})
    monkeypatch.setattr("goque.notebook.cells._shell", lambda: SimpleNamespace(kernel=kernel))
    assert (usable() is not None) is there
    assert (made(("cancel",), str) is not None) is there
    monkeypatch.setattr("goque.notebook.cells._shell", lambda: SimpleNamespace(kernel=object()))
    assert usable() is not None, "other kernels say nothing of it"


def test_who_only_looks_follows_a_batch_without_buttons() -> None:
    running = View("batch 1", 10, {Status.NEW: 5, Status.DONE: 4, Status.ATTEMPTS_LEFT: 1})
    ended = View("batch 1", 10, {Status.DONE: 9, Status.ATTEMPTS_LEFT: 1})
    looking, operating = made((), str), made(("pause", "resume", "cancel", "retry"), str)
    assert looking is not None
    assert operating is not None
    assert looking.follow(running, "", "")
    assert not any(looking._there(running).values())
    assert not looking.follow(ended, "", "")
    assert operating.follow(ended, "", ""), "what failed can be retried"
    assert sum(operating._there(running).values()) == 3


def test_of_what_is_kept_and_what_is_live_one_hides_the_other() -> None:
    kept, other = Kept(), Kept()
    assert f".{kept.name}:not(.goque-ended) {{display: none}}" in kept.hiding
    live, ended = kept.text("<p>half</p>", False), kept.text("<p>all</p>", True)
    assert f'class="goque-kept {kept.name}"' in live
    assert f".{kept.live} {{display: none}}" not in live
    assert f'class="goque-kept {kept.name} goque-ended"' in ended
    assert f".{kept.live} {{display: none}}" in ended
    assert kept.text("", True) == "", "an area without text stays empty"
    assert kept.name != other.name
