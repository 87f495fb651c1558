"""Retry policies as bytes: a line of JSON that anybody may read, then all of it, for the child that ran the task alone.

Not for: deciding by them (``model.retries``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

from goque.payload import codec


class Policy(Protocol):
    """A ``model.retries.RetryPolicy``."""

    def __iter__(self) -> Iterator[Any]: ...
    def spelled(self) -> Any: ...


def encode(policy: Policy | None) -> bytes | None:
    """A policy that travels with its task; None is the default."""
    if policy is None:
        return None
    return json.dumps(policy.spelled()).encode() + b"\n" + codec.dumps(tuple(policy))


def load(body: bytes) -> Any:
    """The whole policy. It is unpickled: for children only."""
    return codec.loads(body.partition(b"\n")[2])


def spelled(body: bytes) -> Any:
    """What it says without code of its user's, for ``retries.without_child``."""
    try:
        return json.loads(body.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return None
