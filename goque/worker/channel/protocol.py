"""Frames between main and its children. Not for: what they mean (``worker.lines``, ``worker.child``).

To the child, which trusts main: length, kind, marshal. From the child, which nobody trusts: a fixed record, then the
lengths of its parts are what the record says, never more than the receiver allows; the rare fields are JSON. A frame
that does not fit is ``Malformed``, and costs that child its life.
"""

from __future__ import annotations

import json
import marshal
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from goque.worker.channel import capture
from goque.worker.channel.jobs import Job, Program

TO_CHILD = struct.Struct("=IB")
PROGRAM, JOBS = 1, 2
TOKEN = struct.Struct("=I")
TOKEN_SIZE = TOKEN.size
"""A token is the number of its message. Four bytes, not one: the child can be many recalled messages behind."""

CONTROL = struct.Struct("=IQ")
"""An order to a thread child: interrupt the job of this line that has this serial."""
REPLY = struct.Struct("=BQdddQIII")
"""kind, serial, started, run_s, cpu_s, max_rss, and the lengths of body, log and rare fields."""
DONE, FAILED, INTERRUPTED, PROGRESSED, CHECKPOINTED, SUBMITTED = 1, 2, 3, 4, 5, 6
LONGEST_RARE = 1 << 20
PROGRAMS_KEPT = 64
"""Programs a child keeps, the newest; main keeps the same count, so that both know what the child still has."""

_KINDS = frozenset({"error", "canceled", "snoozed", "gave_up", "unloadable"})
_TEXTS = {"error_type": 500, "message": 100_000, "traceback": 200_000, "user_frame": 1000, "args_repr": 1000}


class Malformed(Exception):
    """A child sent what no child sends."""


class Rare(NamedTuple):
    """What a run that did not return tells, checked."""

    kind: Any
    retry_in: float | None
    error_type: str
    message: str
    traceback: str
    user_frame: str
    args_repr: str
    module: str


def program_frame(program: Program) -> bytes:
    """The frame that makes a program known to a child."""
    environment = None if program.environment is None else dict(program.environment)
    body: bytes = marshal.dumps(
        (
            program.key,
            program.code,
            program.name,
            program.source,
            program.filename,
            program.first_line,
            program.kwargs,
            program.policy,
            program.cwd,
            environment,
            program.result_limit,
            program.app,
            dict(program.objects),
        )
    )
    return TO_CHILD.pack(len(body), PROGRAM) + body


def jobs_frame(number: int, first: int, key: str, jobs: Sequence[Job]) -> bytes:
    """The frame of message ``number``, whose jobs have the serials from ``first`` on."""
    body: bytes = marshal.dumps(
        (
            TOKEN.pack(number),
            first,
            key,
            # Plain tuples: marshal takes no others.
            list(map(tuple, jobs)),
        )
    )
    return TO_CHILD.pack(len(body), JOBS) + body


def read_rare(raw: bytes) -> Rare:
    """The rare fields of a reply.

    Raises:
        Malformed: they are not what a child of this version sends.
    """
    try:
        fields = json.loads(raw)
        kind, retry_in = fields["kind"], fields.get("retry_in")
        texts = {name: storable(fields.get(name, ""), longest) for name, longest in _TEXTS.items()}
        if kind not in _KINDS or not (retry_in is None or 0 <= float(retry_in) < 1e10):
            raise Malformed(f"the child sent the outcome {kind!r} with the delay {retry_in!r}")
        module = storable(fields.get("module", ""), 500)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Malformed(f"the child sent fields that cannot be read ({type(error).__name__})") from None
    return Rare(kind, None if retry_in is None else float(retry_in), module=module, **texts)


def read_progress(raw: bytes) -> tuple[float, float | None, str]:
    """done, total and note of a progress frame.

    Raises:
        Malformed: they are not what a child sends.
    """
    try:
        done, total, note = json.loads(raw)
        if not abs(float(done)) < 1e300 or not (total is None or abs(float(total)) < 1e300):
            raise Malformed("the child sent a progress that is not finite")
        return float(done), None if total is None else float(total), storable(note, 1000)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise Malformed("the child sent a progress that cannot be read") from None


def storable(text: Any, longest: int) -> str:
    """Text that PostgreSQL can hold: no NUL, no half of a surrogate pair, and not longer than that."""
    if not isinstance(text, str):
        raise TypeError(f"text expected, not {type(text).__name__}")
    if len(text) > longest:
        text = text[: longest // 2] + "\n[...]\n" + text[-longest // 2 :]
    return capture.text(text.encode("utf-8", "backslashreplace"))
