"""Declaring task types, hooks and schedules. Not for: running them in children."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from goque import InvalidInput, NotFound, PayloadError, Registry, UnknownOption
from goque.model.manifest import App, TaskType
from goque.model.schedules import Schedule
from goque.queries.claim import Listed
from goque.worker.roster import Roster
from goque.worker.task.registry import TYPE_OPTIONS


@dataclass
class Email:
    to: str


@pytest.fixture
def jobs() -> Registry:
    return Registry()


def types(registry: Registry) -> dict[str, TaskType]:
    return {one.name: one for one in registry.describe().types}


def test_a_registered_function_stays_what_it_is(jobs: Registry) -> None:
    def double(payload: int) -> int:
        return 2 * payload

    assert jobs.task("double")(double) is double
    assert jobs.task(double) is double
    assert double(2) == 4


def test_a_type_is_called_as_its_function_unless_it_is_given_a_name(jobs: Registry) -> None:
    @jobs.task
    def one(payload: Any) -> None: ...

    @jobs.task(max_attempts=5)
    def two(payload: Any) -> None: ...

    jobs.task("three")(two)
    assert {name: one.max_attempts for name, one in types(jobs).items()} == {"one": 3, "two": 5, "three": 3}


def test_options_of_a_type_are_told_in_seconds(jobs: Registry) -> None:
    jobs.task("f", queue="q", priority=2, max_attempts=5, timeout="2m", keep=None, tags=["b", "a"], concurrency=3)(
        lambda payload: payload
    )
    assert types(jobs)["f"] == TaskType(
        name="f",
        queue="q",
        priority=2,
        max_attempts=5,
        timeout_s=120.0,
        keep_s=float("inf"),
        tags=["a", "b"],
        concurrency=3,
    )


def test_registering_again_replaces(jobs: Registry) -> None:
    jobs.task("f", max_attempts=1)(lambda payload: "old")
    jobs.task("f", max_attempts=2)(lambda payload: "new")
    assert jobs.run("f") == "new"
    assert types(jobs)["f"].max_attempts == 2


def test_run_calls_the_function_with_the_payload_as_it_would_arrive(jobs: Registry) -> None:
    @jobs.task(payload=Email)
    def send(email: Email) -> Any:
        return email

    assert jobs.run("send", {"to": "ann"}) == jobs.run("send", Email("ann")) == Email("ann")
    with pytest.raises(PayloadError, match="lacks to"):
        jobs.run("send", {})
    with pytest.raises(NotFound, match="did you mean send"):
        jobs.run("sent", {})


def test_a_function_without_parameters_is_called_without_a_payload(jobs: Registry) -> None:
    jobs.task("none")(lambda: "called")
    jobs.task("some")(lambda *args: args)
    jobs.task("preset")(lambda payload=1: payload)
    assert jobs.run("none") == jobs.run("none", {"ignored": 1}) == "called"
    assert jobs.run("some") == (None,)
    assert jobs.run("preset", 2) == 2


@pytest.mark.parametrize(
    ("declare", "error", "said"),
    [
        (lambda jobs: jobs.task("f", prioritty=1), UnknownOption, "did you mean priority"),
        (lambda jobs: jobs.task("f", delay="1h"), UnknownOption, "a type takes"),
        (lambda jobs: jobs.task("f", max_attempts=0), InvalidInput, "max_attempts"),
        (lambda jobs: jobs.task("f", payload=dict), InvalidInput, "dataclass"),
        (lambda jobs: jobs.task("f", concurrency=0)(print), InvalidInput, "concurrency"),
        (lambda jobs: jobs.task("f", retry="often")(print), InvalidInput, "retry"),
        (lambda jobs: jobs.task("")(lambda a, b: None), InvalidInput, "payload alone"),
        (lambda jobs: jobs.task("f")(lambda *, a: None), InvalidInput, "payload alone"),
        (lambda jobs: jobs.task("x" * 501)(print), InvalidInput, "500"),
        (lambda jobs: jobs.task("f")(5), InvalidInput, "function"),
        (lambda jobs: jobs.every("soon"), InvalidInput, "soon"),
        (lambda jobs: jobs.cron("* * * * *", catch_up="some"), InvalidInput, "catch_up"),
        (lambda jobs: jobs.cron("* * * * *", payload={1, 2}), PayloadError, "JSON"),
        (lambda jobs: Registry(version=0), InvalidInput, "from 1"),
        (lambda jobs: Registry(version="1.2"), InvalidInput, "version"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(
    jobs: Registry, declare: Callable[[Registry], object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        declare(jobs)
    assert not types(jobs)


def test_a_coroutine_function_is_no_hook(jobs: Registry) -> None:
    async def hook(task: Any) -> None: ...

    with pytest.raises(InvalidInput, match="plain function"):
        jobs.before(hook)


def test_a_hook_for_a_type_that_is_not_there_is_refused_when_all_is_declared(jobs: Registry) -> None:
    @jobs.before("misspelt")
    def hook(task: Any) -> None: ...

    with pytest.raises(InvalidInput, match="misspelt"):
        jobs.describe()
    jobs.task("misspelt")(lambda: None)
    assert types(jobs)


def test_a_hook_that_is_declared_again_takes_its_own_place(jobs: Registry) -> None:
    jobs.task("f")(lambda: None)
    for _ in range(2):

        @jobs.before
        def first(task: Any) -> None: ...

        @jobs.before
        def second(task: Any) -> None: ...

    assert [hook.__name__ for _, hook in jobs._before] == ["first", "second"]
    assert jobs._before[0][1] is not None


def test_schedules_are_declared_as_data(jobs: Registry) -> None:
    @jobs.cron("0 3 * * *", tz="Europe/Berlin", catch_up="one", run_on_start=True)
    @jobs.task("report")
    def make_report() -> None: ...

    @jobs.every("15m", name="quarterly", payload=Email("ann"))
    def poll(payload: Any) -> None: ...

    app = jobs.describe("pkg:jobs")
    assert app.schedules == [
        Schedule("report", "report", cron="0 3 * * *", tz="Europe/Berlin", catch_up="one", run_on_start=True),
        Schedule("quarterly", "poll", every_s=900.0, payload={"to": "ann"}),
    ]
    assert list(types(jobs)) == ["report", "poll"]


def test_a_manifest_survives_its_way_as_text() -> None:
    jobs = Registry(version=7)
    jobs.every(1, payload=[1])(jobs.task("f", keep=None, timeout=1.5, tags=["a"], concurrency=2)(lambda payload: 0))
    app = jobs.describe("pkg:jobs")
    assert App.from_json(app.to_json()) == app
    coded = App(types=app.types, schedules=[], code=b"\0\xff")
    assert App.from_json(coded.to_json()) == coded


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"reference": "a", "types": [{"name": "f", "max_attempts": -1}], "schedules": [], "version": 1, "code": null}',
        '{"reference": "a", "types": [{"nome": "f"}], "schedules": [], "version": 1, "code": null}',
        '{"reference": "a", "types": [], "schedules": [5], "version": 1, "code": null}',
    ],
)
def test_a_manifest_that_is_none_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"manifest|Expecting|max_attempts"):
        App.from_json(text)


def test_a_registry_can_be_pickled(jobs: Registry) -> None:
    jobs.task("f")(print)
    assert pickle.loads(pickle.dumps(jobs)).describe() == jobs.describe()


def test_the_options_of_a_type_are_options_of_tasks() -> None:
    from goque.model.options import OPTION_NAMES

    assert set(TYPE_OPTIONS) <= set(OPTION_NAMES)


# What a worker makes of ``concurrency``


def wants(roster: Roster, held: list[tuple[int, int]], free: int = 8) -> dict[int, int]:
    return {ask.lane: ask.want for ask in roster.asks(held, free)}


def test_no_more_of_a_limited_type_is_claimed_than_may_be_held_over_all_its_lanes() -> None:
    roster = Roster(8, {"narrow": 3})
    roster.refresh([Listed(1, "q", 0, None, "narrow"), Listed(2, "q", 0, None, "narrow")])
    assert sum(wants(roster, []).values()) == 3
    assert sum(wants(roster, [(1, 2)]).values()) == 1
    assert wants(roster, [(1, 2), (2, 1)]) == {}


def test_a_type_at_its_limit_stands_in_nobody_s_way() -> None:
    roster = Roster(2, {"narrow": 1})
    roster.refresh([Listed(1, "q", 9, None, "narrow"), Listed(2, "q", 0, None, "wide"), Listed(3, "q", 0)])
    assert list(wants(roster, [])) == [1]
    assert sorted(wants(roster, [(1, 1)])) == [2, 3]
