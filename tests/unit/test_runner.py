"""The parts of the child that need no process: frames of nonsense, once, logs."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goque.worker.channel import capture, protocol
from goque.worker.channel.jobs import Event, Job, Program
from goque.worker.channel.protocol import REPLY, Malformed
from goque.worker.channel.stamps import create
from goque.worker.pool.lines import Line
from goque.worker.task.once import close_all, once


def line_with_one_job() -> tuple[Line, int]:
    stamp_file = create(1)
    line = Line(0, 0, stamp_file)
    line.post(Program(key="p", code=b"", result_limit=1000), [Job(1, 1, b"")], 1)
    return line, stamp_file


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_bytes_from_a_child_are_replies_or_malformed(raw: bytes) -> None:
    line, stamp_file = line_with_one_job()
    events: list[Event] = []
    try:
        os.write(line._only_childs[1], raw)
        line.receive(events)
    except Malformed:
        pass
    finally:
        line.close()
        os.close(stamp_file)
    assert len(events) <= 300


@pytest.mark.parametrize(
    "frame",
    [
        REPLY.pack(1, 2, 0, 0, 0, 0, 0, 0, 0),
        REPLY.pack(1, 1, 0, float("nan"), 0, 0, 0, 0, 0),
        REPLY.pack(1, 1, 0, -1, 0, 0, 0, 0, 0),
        REPLY.pack(1, 1, 0, 0, 0, 1 << 60, 0, 0, 0),
        REPLY.pack(1, 1, 0, 0, 0, 0, 1001, 0, 0),
        REPLY.pack(1, 1, 0, 0, 0, 0, 0, 1 << 30, 0),
        REPLY.pack(2, 1, 0, 0, 0, 0, 0, 0, 2) + b"[]",
        REPLY.pack(0, 1, 0, 0, 0, 0, 0, 0, 0),
        REPLY.pack(4, 1, 0, 0, 0, 0, 0, 0, 3) + b"{1}",
        REPLY.pack(99, 1, 0, 0, 0, 0, 0, 0, 0),
    ],
)
def test_replies_that_no_child_sends_are_malformed(frame: bytes) -> None:
    line, stamp_file = line_with_one_job()
    os.write(line._only_childs[1], frame)
    with pytest.raises(Malformed):
        line.receive([])
    line.close()
    os.close(stamp_file)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=5))
def test_rare_fields_are_checked_one_by_one(value: Any) -> None:
    for name in ("kind", "retry_in", "message", "module", "traceback"):
        raw = json.dumps({"kind": "error", name: value}).encode()
        try:
            rare = protocol.read_rare(raw)
        except Malformed:
            continue
        assert rare.kind in ("error", "canceled", "snoozed", "gave_up", "unloadable")
        assert rare.retry_in is None or rare.retry_in >= 0
        assert "\x00" not in rare.message
        rare.message.encode()


def test_once_keeps_one_object_for_equal_factories_and_closes_the_newest_first() -> None:
    closed: list[str] = []

    def use(name: str) -> list[str]:
        return once(lambda: [name], close=lambda kept: closed.append(kept[0]))

    assert use("a") is use("a")
    assert use("a") is not use("b")
    assert once(partial(list, "xy")) is once(partial(list, "xy"))
    close_all()
    assert closed == ["b", "a"]
    assert use("a") is use("a")
    close_all()


def test_once_tries_again_after_a_factory_that_failed() -> None:
    attempts: list[int] = []

    def factory() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("not yet")
        return "ready"

    with pytest.raises(OSError, match="not yet"):
        once(factory)
    assert once(factory) == "ready"
    close_all()


def test_a_log_keeps_head_and_tail_and_stays_short() -> None:
    log = capture.Log(capture.create())
    for number in range(50_000):
        log.write(f"line {number}\n".encode())
    assert os.fstat(log.descriptor).st_size < 4 * capture.LONGEST
    text = capture.text(log.take())
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 49999\n")
    assert len(text) <= capture.LONGEST
    assert log.take() == b""
    os.close(log.descriptor)
