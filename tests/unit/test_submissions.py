"""What a child asks for on behalf of its task: encoded there, and checked by main, which trusts no child."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pool_driver import driven, job, program

import goque
from goque.payload import codec, functions, policies
from goque.worker.channel import submissions
from goque.worker.channel.jobs import Submission, Submitted
from goque.worker.channel.protocol import Malformed

LIMIT = 1 << 20


def given(**options: Any) -> Submission:
    return submissions.of_function(pow, [((2, 3), {})], options)


def journey(submission: Submission) -> Submission:
    body, rare = submissions.frame(submission, LIMIT)
    return submissions.read(rare, body)


def test_calls_of_a_function_arrive_as_they_were() -> None:
    def double(x: int, *, plus: int = 0) -> int:
        return 2 * x + plus

    sent = submissions.of_function(double, [((1,), {}), ((2,), {"plus": 3})], {})
    got = journey(sent)
    assert got == sent
    assert functions.load(got.code)(5) == 10
    assert [codec.decode_arguments(call) for call in got.calls] == [((1,), {}), ((2,), {"plus": 3})]


def test_a_payload_arrives_as_json() -> None:
    got = journey(submissions.of_type("send_email", {"to": "é"}, {"priority": 3}))
    assert (got.type, got.function, got.options) == ("send_email", None, {"priority": 3})
    assert [json.loads(call) for call in got.calls] == [{"to": "é"}]


def test_options_arrive_in_seconds_and_moments() -> None:
    moment = datetime(2026, 11, 24, tzinfo=UTC)
    got = journey(given(delay="1h", timeout=timedelta(minutes=1), keep=None, expires=moment, tags=("a",), metadata={}))
    assert got.options == {
        "delay": 3600.0,
        "timeout": 60.0,
        "keep": None,
        "expires": moment,
        "tags": ["a"],
        "metadata": {},
    }
    assert journey(given(run_at=moment, expires="2h")).options == {"run_at": moment, "expires": 7200.0}


def test_a_retry_policy_arrives_encoded_and_main_need_not_load_it() -> None:
    got = journey(given(retry=[1, 2], give_up_on=[ValueError]))
    assert got.options == {}
    assert got.policy is not None
    assert policies.load(got.policy) == ([1, 2], None, [ValueError])


def test_external_ids_arrive_with_the_calls_that_have_them() -> None:
    calls = [((base, 2), {}) for base in range(3)]
    sent = submissions.of_function(pow, calls, {"external_id": lambda base, _: f"pow {base}"}, is_map=True)
    got = journey(sent)
    assert got.external_ids == ["pow 0", "pow 1", "pow 2"]
    assert got.options == {}
    assert journey(submissions.of_type("send_email", {}, {"external_id": "order-1"})).external_ids == ["order-1"]
    assert journey(given()).external_ids == []


@pytest.mark.parametrize("ids", [b"5", b"[5]", b'[""]', b'["a", "b"]', b"[" * 100_000, b""])
def test_external_ids_that_no_child_sends_are_malformed(ids: bytes) -> None:
    sent = given()
    parts = [sent.code, b"", ids, *sent.calls]
    facts = {"type": sent.type, "function": sent.function, "options": {}, "lengths": [len(part) for part in parts]}
    with pytest.raises(Malformed):
        submissions.read(json.dumps(facts).encode(), b"".join(parts))


def test_more_bytes_than_may_be_are_refused_in_the_child() -> None:
    with pytest.raises(goque.PayloadTooLarge):
        submissions.frame(submissions.of_function(len, [((b"x" * 100,), {})], {}), 50)


BODY, RARE = submissions.frame(submissions.of_function(pow, [((2, 3), {})], {"priority": 1}), LIMIT)


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(RARE), **fields}).encode()


@pytest.mark.parametrize(
    "rare",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        changed(lengths=[1]),
        changed(lengths=[]),
        changed(lengths=[-1, 1 + len(BODY)]),
        changed(lengths=[len(BODY)]),
        changed(lengths=[True] * len(BODY)),
        changed(lengths=[0] * (submissions.MOST_CALLS + 3) + [len(BODY)]),
        changed(type=""),
        changed(type=5),
        changed(function=5),
        changed(function={}),
        changed(options=5),
        changed(options={"nosuch": 1}),
        changed(options={"external_id": "x"}),
        changed(options={"max_attempts": -1}),
        changed(options={"run_at": "soon"}),
        changed(options={"run_at": "2026-11-24T00:00:00"}),
        changed(options={"metadata": {"a": "\0"}}),
    ],
)
def test_what_no_child_sends_is_malformed(rare: bytes) -> None:
    assert submissions.read(RARE, BODY).options == {"priority": 1}
    with pytest.raises(Malformed):
        submissions.read(rare, BODY)


def test_a_child_that_asks_for_more_than_it_may_is_ended() -> None:
    def flood() -> None:
        context = goque.context()
        for _ in range(3):
            context._attempt.asked = context._attempt.asked_bytes = 0
            context.map(pow, range(5_000), range(5_000))

    def modest() -> None:
        goque.context().map(pow, range(5_000), range(5_000))

    with driven() as driver:
        asked: list[Submitted] = []
        take = driver.take

        def also(events: list[Any]) -> None:
            asked.extend(event for event in events if isinstance(event, Submitted))
            take(events)

        driver.take = also  # type: ignore[method-assign]
        driver.send(0, program(flood), [job(1)])
        outcome = driver.outcome(1)
        assert (outcome.kind, outcome.message) == ("crash", "the child asked for more tasks than one may ask for")
        for task in (2, 3, 4):  # what one job asked for is not held against the next
            driver.send(0, program(modest), [job(task)])
            assert driver.outcome(task).kind == "done"
        assert {len(event.submission.calls) for event in asked} == {5_000}
