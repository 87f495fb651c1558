"""The examples of docs/examples.md, run by one worker against a mail server and a web server on loopback."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import goque
from goque import Queue, Status
from tests.architecture.sources import ROOT
from tests.scenarios.conftest import Works, works
from tests.scenarios.outside import world

EXAMPLES = ROOT / "docs" / "examples"
pytestmark = [pytest.mark.slow, pytest.mark.once]
NAMED = ("send_emails", "deliver_webhooks", "schedule_jobs", "limit_jobs", "send_notifications", "generate_reports")


@pytest.fixture(scope="module")
def outside() -> Iterator[tuple[Any, Any]]:
    with world() as servers:
        yield servers


@pytest.fixture(scope="module")
def served(
    outside: tuple[Any, Any], server_dsn: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Works]:
    mail, _ = outside
    with (
        pytest.MonkeyPatch.context() as patch,
        works(server_dsn, template_database, "examples", tmp_path_factory.mktemp("examples")) as made,
    ):
        patch.syspath_prepend(EXAMPLES)
        apps = [word for name in NAMED for word in ("--app", f"{name}:jobs")]
        place = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mail.server_address[1])}
        made.serve("--concurrency", "4", *apps, PYTHONPATH=f"{EXAMPLES}:{ROOT}", **place)
        made.ready()
        yield made


@pytest.fixture
def q(served: Works) -> Queue:
    return served.queue


@pytest.fixture
def web(outside: tuple[Any, Any]) -> Any:
    return outside[1]


def url(web: Any, path: str) -> str:
    return f"http://127.0.0.1:{web.server_address[1]}{path}"


def example(name: str) -> Any:
    return import_module(name)


def test_an_order_is_confirmed_once_and_an_address_that_is_none_is_given_up(q: Queue, outside: Any) -> None:
    confirm = example("send_emails").confirm
    first, again = confirm(q, "ann@example.org", "order-1"), confirm(q, "ann@example.org", "order-1")
    refused = confirm(q, "nobody@example.org", "order-2")
    assert first.result(timeout=30) == again.result(timeout=30) == "confirmed order-1 to ann@example.org"
    assert isinstance(refused.exception(timeout=30), goque.GiveUp)
    assert (refused.status, refused.attempts) == (Status.ATTEMPTS_LEFT, 1)
    [sent] = outside[0].taken
    assert "Subject: Your order order-1" in sent


def test_webhooks_are_asked_again_until_they_take_it_but_not_those_that_refuse(q: Queue, web: Any) -> None:
    publish = example("deliver_webhooks").publish
    flaky, gone = publish(q, "e-1", url(web, "/flaky"), n=1), publish(q, "e-2", url(web, "/gone"))
    assert flaky.result(timeout=30) == 200
    assert str(gone.exception(timeout=30)) == "refused with 410"
    assert (flaky.attempts, gone.attempts) == (3, 1)
    assert [post for post in web.posted if post[0] == "/flaky"] == [("/flaky", '{"n": 1}', "e-1")] * 3


def test_a_reminder_comes_at_its_time_and_not_at_all_when_it_was_moved_or_it_is_too_late(q: Queue) -> None:
    schedule = example("schedule_jobs")
    at = q.now() + schedule.BEFORE + timedelta(seconds=1.5)
    soon, moved = schedule.book(q, "ann", at), schedule.book(q, "ben", at)
    later = schedule.move(q, moved, "ben", at + timedelta(days=1))
    too_late = schedule.book(q, "cid", q.now() - timedelta(minutes=1))
    assert soon.result(timeout=30) == f"ann, at {at:%H:%M} we expect you"
    began = q.history(task=soon.id).loc[0, "started_at"]
    assert timedelta(0) <= began - (at - schedule.BEFORE) < timedelta(seconds=10)
    assert schedule.book(q, "ann", at).id == soon.id
    with pytest.raises(goque.TaskCanceled, match="expired"):
        too_late.result(timeout=30)
    assert (moved.status, moved.attempts, later.status) == (Status.CANCELED, 0, Status.PENDING)
    nightly = q.schedules().set_index("name").loc["close_the_day"]
    assert (nightly["cron"], nightly["tz"], nightly["catch_up"]) == ("30 2 * * *", "Europe/Berlin", "all")


def test_each_type_keeps_its_own_limit_in_one_worker(q: Queue, web: Any) -> None:
    asked = example("limit_jobs").ask(q, url(web, "/once"), url(web, "/twice"), times=4)
    assert goque.gather(*asked, timeout=30) == ["ok"] * 8 + [6] * 4
    assert (web.most["/once"], web.most["/twice"]) == (1, 2)


def test_one_notification_becomes_one_for_each_device(q: Queue, web: Any) -> None:
    devices = ["phone-1", "phone-2", "phone-3"]
    task = example("send_notifications").notify(q, url(web, "/push"), "late", devices, urgent=True)
    assert task.result(timeout=30) == 3
    pushes = q.tasks(type="push")
    goque.wait([q.task(id) for id in pushes["id"]], timeout=30)
    sent = [json.loads(body) for path, body, _ in web.posted if path == "/push"]
    assert sorted(message["device"] for message in sent) == devices
    assert set(pushes["priority"]) == {10}


def test_a_week_has_one_report_by_schedule_or_on_demand(q: Queue, tmp_path: Path) -> None:
    order = example("generate_reports").order
    first, again = (order(q, date(2026, 11, 23), str(tmp_path)) for _ in range(2))
    assert again.id == first.id
    text = Path(first.result(timeout=30)).read_text()
    assert text.splitlines()[6] == "2026-11-29: all is well"
    schedule = q.schedules().set_index("name").loc["every_monday"]
    assert (schedule["cron"], schedule["tz"], schedule["catch_up"]) == ("0 6 * * mon", "Europe/Berlin", "one")


@pytest.mark.filterwarnings("ignore:module process_data")
def test_files_are_summarised_and_the_bad_ones_run_again(q: Queue, tmp_path: Path) -> None:
    for name, prices in {"a": "1\n2", "b": "-1"}.items():
        (tmp_path / f"{name}.csv").write_text(f"price\n{prices}\n")
    process = example("process_data").process
    batch = process(q.options(retry=[0.0]), str(tmp_path)).wait(timeout=60)
    frame = batch.to_frame(inputs=False)
    assert frame["revenue"].tolist()[0] == 3.0
    assert frame["error"].tolist()[1] == "a price is negative"
    (tmp_path / "b.csv").write_text("price\n4\n")
    (tmp_path / "c.csv").write_text("price\n5\n")
    batch.failed().retry()
    assert process(q, str(tmp_path)).id == batch.id
    again = q.batch(batch.id)
    assert [row["revenue"] for row in again.results(timeout=60)] == [3.0, 4.0, 5.0]


@pytest.mark.filterwarnings("ignore:module process_images")
def test_images_are_made_small(q: Queue, tmp_path: Path) -> None:
    big, small = tmp_path / "big", tmp_path / "small"
    big.mkdir()
    small.mkdir()
    (big / "grey.ppm").write_bytes(b"P6\n16 8\n255\n" + bytes([10, 20, 30] * 128))
    (big / "text.ppm").write_bytes(b"not an image\n\n\n\n")
    batch = example("process_images").thumbnails(q, str(big), str(small)).wait(timeout=60)
    assert batch.results(errors="skip") == [str(small / "grey.ppm")]
    assert (small / "grey.ppm").read_bytes() == b"P6\n2 1\n255\n" + bytes([10, 20, 30] * 2)
    assert Counter(task.attempts for task in batch.tasks()) == {1: 2}
