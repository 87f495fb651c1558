"""Many workers, lanes, queues and tasks, and very long lives: what grows, who starves, and what holds things up."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import psutil
import psycopg
import pytest

from benchmarks.cleaning import LONG_AGO, finished_batch
from goque import Queue
from goque.maintenance.cleaner import REST, Pace, Round
from goque.model.eligibility import EVERY_QUEUE
from goque.model.states import Status
from goque.postgres.database import Database
from goque.queries import claim, workers
from tests.poisons import MEMORY, harm_nobody_else
from tests.soak.field import SECRET, TASKS, Member, noted_figures
from tests.soak.machines import Server, folder

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

SCALE = TASKS / 10_000
"""1 for the figures that are told; less to see that a test works."""


def scaled(number: int) -> int:
    return max(int(number * SCALE), 10)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOQUE_SECRET", SECRET)


@pytest.fixture
def server() -> Iterator[Server]:
    with folder() as path:
        made = Server(path, settings=("max_connections=300",))
        made.start()
        yield made
        made.kill()


@pytest.fixture
def queue(server: Server) -> Iterator[Queue]:
    with Queue(server.dsn, migrate=True, owner="soak") as made:
        yield made


@pytest.fixture
def member(server: Server, queue: Queue, tmp_path: Path) -> Iterator[Member]:
    made = Member(server.dsn, tmp_path / "worker.log")
    yield made
    made.process.send_signal(signal.SIGTERM)
    try:
        made.process.wait(40)
    except subprocess.TimeoutExpired:
        made.kill()


def drained(queue: Queue, number: int) -> float:
    """Tasks per second of a map of so many that do nothing."""

    def work(item: int) -> int:
        return item

    batch = queue.map(work, range(number))
    began = time.monotonic()
    batch.wait(600)
    return number / (time.monotonic() - began)


def finished(queue: Queue, server: Server) -> int:
    """Ten million finished tasks in twenty batches, two of which may go; how many are in each."""
    share = scaled(500_000)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        for days in (LONG_AGO, LONG_AGO, *([0] * 18)):
            finished_batch(queue, connection, share, days=days)
        connection.execute("vacuum analyze goque.task")
        connection.execute("checkpoint")
    return share


def test_a_thousand_workers_beat_and_the_lost_among_them_are_found(server: Server, queue: Queue) -> None:
    count = scaled(1000)
    database = Database(server.dsn)
    ids = [database.one(_registration(number)) for number in range(count)]
    silent = set(ids[::10])
    took: list[float] = []
    lost: set[int] = set()
    end = time.monotonic() + workers.BEAT_S * (workers.LOOKS + 3)
    while time.monotonic() < end:
        began = time.monotonic()
        for id in ids:
            if id not in silent:
                each = time.monotonic()
                found = database.alone(workers.beat(id, running=0, buffered=0))
                took.append(time.monotonic() - each)
                lost.update(set(found) - {id})
        time.sleep(max(0.0, workers.BEAT_S - (time.monotonic() - began)))
    assert lost == silent
    took.sort()
    noted_figures(
        "a_thousand_workers_beat",
        workers=count,
        lost=len(lost),
        beat_p50_ms=round(1000 * took[len(took) // 2], 2),
        beat_p99_ms=round(1000 * took[len(took) * 99 // 100], 2),
        share_of_one_connection=round(sum(took) / (workers.BEAT_S * (workers.LOOKS + 3)), 3),
    )
    database.close()


def _registration(number: int):  # type: ignore[no-untyped-def]
    return workers.register(
        host=f"host{number}",
        pid=number,
        python="3.11",
        prefix="/usr",
        version="0",
        owner="soak",
        pool="process",
        slots=2,
        queues=None,
        tags=(),
        key_ids=(),
        local=False,
    )


def test_five_thousand_lanes_are_live(queue: Queue, member: Member) -> None:
    plain = drained(queue, scaled(20_000))
    count = scaled(5000)
    queue.pause("many")
    for number in range(count):
        queue.options(queue="many", priority=number % 50, tags=[]).map(abs, [number])
    beside = drained(queue, scaled(20_000))
    queue.resume("many")
    began = time.monotonic()
    give_up_at = began + 300
    while queue.count(queue="many", status=("new", "pending", "processing", "error")):
        assert time.monotonic() < give_up_at
        time.sleep(0.1)
    noted_figures(
        "five_thousand_lanes",
        lanes=count,
        plain=round(plain),
        beside_paused_lanes=round(beside),
        lanes_per_s=round(count / (time.monotonic() - began)),
    )
    assert beside >= 0.6 * plain


def test_tasks_that_nobody_here_may_take_hold_up_nobody(queue: Queue, member: Member) -> None:
    plain = sorted(drained(queue, scaled(50_000)) for _ in range(3))[1]
    queue.options(tags=["gpu"], priority=9).map(abs, range(scaled(500_000)))
    behind = sorted(drained(queue, scaled(50_000)) for _ in range(3))[1]
    noted_figures("unservable_in_front", tasks=scaled(500_000), plain=round(plain), behind=round(behind))
    assert behind >= 0.8 * plain


def test_a_small_map_ends_while_a_large_one_runs(queue: Queue, member: Member) -> None:
    queue.map(abs, range(1000)).wait(60)
    large = queue.map(abs, range(scaled(1_000_000)))
    time.sleep(1.0)
    took = []
    for _ in range(10):
        began = time.monotonic()
        queue.map(abs, range(10)).wait(60)
        took.append(time.monotonic() - began)
    left = sum(number for status, number in large.counts().items() if not status.final)
    took.sort()
    noted_figures(
        "a_small_map_beside_a_large_one",
        large=scaled(1_000_000),
        left=left,
        small_median_s=round(took[5], 3),
        small_longest_s=round(took[-1], 3),
    )
    assert left
    assert took[5] < 1.0
    assert took[-1] < 10.0
    large.cancel()


def test_queues_by_the_hundred_thousand(queue: Queue, server: Server, member: Member) -> None:
    count = scaled(100_000)
    plain = drained(queue, scaled(20_000))
    with psycopg.connect(server.dsn) as connection:
        connection.execute(
            "insert into goque.queue (name) select 'queue-' || n from generate_series(1, %s) n", (count,)
        )
    beside = drained(queue, scaled(20_000))
    noted_figures("queues", queues=count, plain=round(plain), beside=round(beside))
    assert beside >= 0.8 * plain


def test_fifty_workers_on_one_server(queue: Queue, server: Server, tmp_path: Path) -> None:
    count = min(scaled(50), 50)
    members = [Member(server.dsn, tmp_path / f"{number}.log") for number in range(count)]
    try:
        give_up_at = time.monotonic() + 120
        while len(queue.workers(alive=True)) < count:
            assert time.monotonic() < give_up_at
            time.sleep(0.2)
        rate = drained(queue, scaled(50_000))
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            row = connection.execute(
                "select count(*) from pg_stat_activity where application_name = 'goque worker'"
            ).fetchone()
        assert row is not None
        noted_figures("fifty_workers", workers=count, rate=round(rate), connections=row[0])
        assert row[0] <= 3 * count
    finally:
        for one in members:
            one.process.terminate()
        for one in members:
            one.process.wait(60)


def test_a_worker_s_memory_is_flat_over_a_million_tasks(queue: Queue, member: Member) -> None:
    main = psutil.Process(member.process.pid)
    share = scaled(100_000)
    sizes = []
    for _ in range(10):
        drained(queue, share)
        sizes.append(main.memory_info().rss / 2**20)
    noted_figures(
        "memory_over_many_tasks",
        tasks=10 * share,
        after_the_first_tenth_mib=round(sizes[0], 1),
        at_the_end_mib=round(sizes[-1], 1),
    )
    assert sizes[-1] < sizes[0] + 5


def test_descriptors_and_threads_are_flat_over_thousands_of_children(
    server: Server, queue: Queue, tmp_path: Path
) -> None:
    member = Member(server.dsn, tmp_path / "log", "--max-tasks-per-child", "1")
    try:
        drained(queue, 20)
        main = psutil.Process(member.process.pid)
        before = main.num_fds(), main.num_threads()
        rate = drained(queue, scaled(10_000))
        time.sleep(1.0)
        after = main.num_fds(), main.num_threads()
        noted_figures("children", children=scaled(10_000), children_per_s=round(rate), before=before, after=after)
        assert after[0] <= before[0] + 4
        assert after[1] <= before[1] + 1
    finally:
        member.process.terminate()
        member.process.wait(60)


def test_poison_harms_nobody_else(server: Server, queue: Queue, tmp_path: Path) -> None:
    copies, neighbours = scaled(20), scaled(10_000)
    member = Member(server.dsn, tmp_path / "log", "--max-memory", f"{MEMORY}MiB")
    try:
        drained(queue, 20)
        main = psutil.Process(member.process.pid)
        before = main.num_fds(), main.num_threads(), main.memory_info().rss / 2**20
        began = time.monotonic()
        harm_nobody_else(queue, tmp_path / "pids", copies=copies, neighbours=neighbours)
        took = time.monotonic() - began
        after = main.num_fds(), main.num_threads(), main.memory_info().rss / 2**20
        noted_figures(
            "poison",
            of_each_kind=copies,
            neighbours=neighbours,
            took_s=round(took),
            descriptors_threads_mib_before=[round(number) for number in before],
            after=[round(number) for number in after],
        )
        assert after[0] <= before[0] + 4
        assert after[1] <= before[1] + 1
    finally:
        member.process.terminate()
        member.process.wait(60)


def test_a_snapshot_that_is_pinned_slows_nothing_down(queue: Queue, server: Server, member: Member) -> None:
    drained(queue, scaled(20_000))
    with psycopg.connect(server.dsn) as pinning:
        began = time.monotonic()
        pinning.execute("set transaction isolation level repeatable read")
        pinning.execute("select count(*) from goque.task").fetchone()
        count = scaled(200_000)

        def work(item: int) -> int:
            return item

        batch = queue.map(work, range(count))
        moments = [time.monotonic()]
        while len(moments) < 5:
            if batch.counts()["done"] >= count * len(moments) // 4:
                moments.append(time.monotonic())
            time.sleep(0.02)
        time.sleep(max(0.0, 62.0 - (time.monotonic() - began)))  # what is open for a minute is told of
        findings = queue.doctor()
    quarters = [count / 4 / (later - earlier) for earlier, later in pairwise(moments)]
    noted_figures("pinned_snapshot", tasks=count, quarters=[round(rate) for rate in quarters])
    assert quarters[-1] >= 0.9 * quarters[0]
    assert any(finding.about == "snapshot" for finding in findings), findings


def test_three_long_analyses_slow_nothing_down(queue: Queue, server: Server, member: Member) -> None:
    plain = drained(queue, scaled(50_000))
    stop = threading.Event()

    def analyse() -> None:
        with psycopg.connect(server.dsn) as connection:
            connection.execute("set transaction isolation level repeatable read")
            while not stop.is_set():
                connection.execute("select count(*) from goque.task").fetchone()
                connection.execute("select pg_sleep(0.5)")

    threads = [threading.Thread(target=analyse) for _ in range(3)]
    for thread in threads:
        thread.start()
    beside = drained(queue, scaled(100_000))
    stop.set()
    for thread in threads:
        thread.join()
    noted_figures("three_analyses", plain=round(plain), beside=round(beside))
    assert beside >= 0.9 * plain


def test_ten_million_finished_tasks_slow_nothing_down(queue: Queue, server: Server, member: Member) -> None:
    plain = sorted(drained(queue, scaled(50_000)) for _ in range(3))[1]
    plain_claim = _claim_seconds(queue)
    plain_history = _seconds(lambda: queue.history(limit=1000))
    share = finished(queue, server)
    full = sorted(drained(queue, scaled(50_000)) for _ in range(3))[1]
    full_claim = _claim_seconds(queue)
    full_history = _seconds(lambda: queue.history(limit=1000))
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        cleaning = pool.submit(Round(Database(queue.dsn), pace=Pace(rest=REST)).clean)
        number = 0
        while not cleaning.done():
            drained(queue, scaled(50_000))
            number += scaled(50_000)
        beside = number / (time.monotonic() - began)
    noted_figures(
        "ten_million_finished",
        finished=20 * share,
        rate_before=round(plain),
        rate_with=round(full),
        claim_before_ms=round(1000 * plain_claim, 3),
        claim_with_ms=round(1000 * full_claim, 3),
        history_1000_before_s=round(plain_history, 4),
        history_1000_with_s=round(full_history, 4),
        removed=cleaning.result()["tasks"],
        rate_while_they_were_removed=round(beside),
        drained_meanwhile=number,
    )
    assert cleaning.result()["tasks"] == 2 * share
    assert full >= 0.9 * plain
    assert full_claim <= 1.1 * plain_claim + 0.0002
    assert full_history <= 1.2 * plain_history
    assert beside >= 0.8 * full


def test_a_dashboard_of_ten_million_tasks_searches_within_a_second(queue: Queue, server: Server) -> None:
    share = finished(queue, server)
    first = int(queue.batches(limit=100)["id"].min())
    rare = queue.batch(first)[share // 2].id
    with psycopg.connect(server.dsn) as connection:  # one that was canceled, in the middle of the oldest batch
        connection.execute("update goque.task set status = 'canceled', seq = null, run = 0 where id = %s", (rare,))
        connection.execute(
            "insert into goque.tally (lane_id, done, canceled) select lane_id, -1, 1 from goque.task where id = %s",
            (rare,),
        )
    queue.options(queue="other").map(abs, range(10))
    board = queue.dashboard()
    searches: dict[str, dict[str, object]] = {str(status): {"status": status} for status in Status}
    searches |= {"any": {}, "queue": {"queue": "other"}, "no_queue": {"queue": "nowhere"}, "type": {"type": "nobody's"}}
    searches |= {"error_type": {"error_type": "ValueError"}, "batch": {"batch": first, "status": "canceled"}}
    found, took = {}, {"page": _seconds(board.refresh)}
    for name, filters in searches.items():
        took[name] = _seconds(lambda filters=filters: board.search(**filters))
        found[name] = board.found
    board.close()
    noted_figures("dashboard", tasks=20 * share, **{name: round(seconds, 3) for name, seconds in took.items()})
    assert found["canceled"]["task_id"].tolist() == found["batch"]["task_id"].tolist() == [rare]
    assert len(found["queue"]) == 10
    assert len(found["done"]) == len(found["any"]) == 100
    assert {name: seconds for name, seconds in took.items() if seconds > 1.0} == {}


def _claim_seconds(queue: Queue) -> float:
    """The median time of a claim of 32 tasks."""
    batch = queue.options(tags=["nobody"]).map(abs, range(32 * 101))
    [lane] = batch._lanes()
    database = Database(queue.dsn)
    connection = database.dedicated()
    worker = connection.one(_registration(0))
    took = []
    for number in range(101):
        began = time.monotonic()
        assert len(connection.all(claim.claim(worker, number, [(lane, 0, 32)], EVERY_QUEUE))) == 32
        took.append(time.monotonic() - began)
    connection.run(workers.finish(worker))
    connection.close()
    batch.cancel()
    return sorted(took)[50]


def _seconds(call) -> float:  # type: ignore[no-untyped-def]
    """The median of some calls."""
    took = []
    for _ in range(7):
        began = time.monotonic()
        call()
        took.append(time.monotonic() - began)
    return sorted(took)[3]
