"""Storing what is called, and finding the lane of its tasks. Not for: storing the calls (``singles``, ``maps``)."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from goque.client.objects import Objects
from goque.errors import KeyMissing, SignatureInvalid
from goque.model.options import Options
from goque.payload import policies, refs
from goque.payload.envelope import Opener, Purpose, Sealer, context_of
from goque.payload.functions import CapturedFunction
from goque.payload.keys import KeyKind, KeyRing
from goque.postgres.verbs import Verbs
from goque.queries import programs
from goque.queries.lanes import LaneOptions
from goque.queries.programs import NewLane

K = TypeVar("K")
T = TypeVar("T")

MOST_KEPT = 2_000
"""Functions, and lanes, that a process remembers to have stored."""
FRESH_S = 12 * 3600.0
"""Seconds for which a stored function or lane is taken to be there still, and its last use to be told well enough."""


@dataclass(frozen=True, slots=True)
class StoredFunction:
    """A function that is in the database, under our key."""

    id: int
    captured: CapturedFunction


@dataclass(frozen=True, slots=True)
class _Asked:
    """The lane that was asked for last."""

    function: StoredFunction
    options: Options
    directory: str
    at: float
    lane: int

    def is_the_same(self, function: StoredFunction, options: Options, directory: str) -> bool:
        """Whether it is asked for again. Options that are equal, but not the same, are looked at anew."""
        is_same = self.function is function and self.options is options and self.directory == directory
        return is_same and _is_fresh(self.at)


class Functions:
    """Functions and lanes that this process has stored. Safe between threads; a race stores nothing twice."""

    def __init__(self, database: Verbs, ring: KeyRing, owner: str, directory: str | None = None) -> None:
        """``directory`` is where functions run; this process's own unless another is given."""
        self._directory = directory
        self._database = database
        self._ring = ring
        self._owner = owner
        self._code = Sealer.of(ring, Purpose.FUNCTION)
        self._lane = Sealer.of(ring, Purpose.LANE)
        self._policy = Sealer.of(ring, Purpose.POLICY)
        self._opener = Opener(ring, Purpose.FUNCTION)
        self._objects = Objects(database, ring, owner)
        self._policies = Opener(ring, Purpose.POLICY)
        self._functions: dict[str, tuple[float, StoredFunction]] = {}
        self._lanes: dict[tuple[Any, ...], tuple[float, int]] = {}
        self._last: _Asked | None = None
        self._lock = threading.Lock()
        self.key_ids = ring.ids(KeyKind.CODE)[:1]
        """The key that a worker needs to run what is submitted here, as a list of none or one."""

    def after_fork(self) -> None:
        """Begin anew in a forked process: another thread may have held the lock."""
        self._lock = threading.Lock()

    def store(self, captured: CapturedFunction) -> StoredFunction:
        """Store a function unless it is there.

        Raises:
            SignatureInvalid: what is there under its hash is not what was signed.
        """
        with self._lock:
            known = self._functions.get(captured.hash)
        if known is not None and _is_fresh(known[0]):
            return known[1]
        row = self._database.one(
            programs.put_function(
                hash=captured.hash,
                key_id=self._code.key_id,
                name=captured.name,
                python=captured.python,
                source_key=captured.source_key,
                source=captured.source,
                filename=captured.filename or None,
                first_line=captured.first_line or None,
                code=self._code.seal(context_of(captured.hash), captured.code),
            )
        )
        try:
            self._opener.open(context_of(captured.hash), row.code)
        except (SignatureInvalid, KeyMissing) as error:
            raise SignatureInvalid(f"the function {captured.name} is in this database, but changed: {error}") from error
        stored = StoredFunction(row.id, captured)
        with self._lock:
            _keep(self._functions, captured.hash, (time.time(), stored))
        return stored

    def new_lane(
        self, function: StoredFunction, options: Options, batch: int | None, policy: bytes | None = None
    ) -> NewLane:
        """The lane that tasks of this function with these options go into, not stored yet.

        ``policy`` is one that was encoded elsewhere.
        """
        captured = function.captured
        policy = policy or policies.encode(options.policy)
        digest = _digest(self._facts(function, options, batch, policy))
        return NewLane(
            digest=digest,
            batch_id=batch,
            queue=options.queue,
            priority=options.priority,
            type=captured.name,
            function_id=function.id,
            python=captured.python,
            tags=sorted(set(options.tags)),
            key_ids=self.key_ids,
            seal=None if batch is None else self._lane.seal(context_of(batch, captured.hash), b""),
            policy=None if policy is None else self._policy.seal(context_of(digest), policy),
            max_attempts=options.max_attempts,
            timeout_s=options.timeout_s,
            keep_s=options.keep_s,
            cwd=self._directory or os.getcwd(),
            owner=self._owner,
            objects=sorted(refs.used()),
        )

    def _facts(
        self, function: StoredFunction, options: Options, batch: int | None, policy: bytes | None
    ) -> tuple[Any, ...]:
        """Whatever makes it another lane."""
        return (
            batch,
            options.queue,
            options.priority,
            function.captured.name,
            function.id,
            function.captured.python,
            tuple(sorted(set(options.tags))),
            self.key_ids,
            options.max_attempts,
            options.timeout_s,
            options.keep_s if options.keep_s != float("inf") else "ever",
            self._directory or os.getcwd(),
            self._owner,
            None if policy is None else policy.hex(),
            *sorted(refs.used()),
        )

    def lane_like(self, base: LaneOptions, options: Options, batch: int) -> NewLane:
        """Another lane of a batch for the same function, with other options."""
        policy = policies.encode(options.policy)
        if policy is None and base.policy is not None:
            policy = bytes(self._policies.open(context_of(base.digest), base.policy))
        digest = hashlib.sha256(f"{base.digest} again at {time.time_ns()}".encode()).hexdigest()
        return NewLane(
            digest=digest,
            batch_id=batch,
            queue=options.queue,
            priority=options.priority,
            type=base.type,
            function_id=base.function_id,
            python=base.python,
            tags=sorted(set(options.tags)),
            key_ids=sorted({*base.key_ids, *self.key_ids}),
            seal=self._lane.seal(context_of(batch, base.function_hash), b""),
            policy=None if policy is None else self._policy.seal(context_of(digest), policy),
            max_attempts=options.max_attempts,
            timeout_s=options.timeout_s,
            keep_s=base.keep_s,
            cwd=base.cwd,
            owner=self._owner,
            objects=base.objects,
        )

    def type_lane(self, type: str, options: Options, policy: bytes | None = None) -> int:
        """The lane of tasks of a named type with these options. It names no function, and a key only for a policy."""
        policy = policy or policies.encode(options.policy)
        facts = (
            "type",
            type,
            options.queue,
            options.priority,
            tuple(sorted(set(options.tags))),
            options.max_attempts,
            options.timeout_s,
            options.keep_s if options.keep_s != float("inf") else "ever",
            self._owner,
            None if policy is None else (self.key_ids, policy.hex()),
        )

        def make() -> NewLane:
            digest = _digest(facts)
            return NewLane(
                digest=digest,
                batch_id=None,
                queue=options.queue,
                priority=options.priority,
                type=type,
                function_id=None,
                python=None,
                tags=sorted(set(options.tags)),
                key_ids=() if policy is None else self.key_ids,
                seal=None,
                policy=None if policy is None else self._policy.seal(context_of(digest), policy),
                max_attempts=options.max_attempts,
                timeout_s=options.timeout_s,
                keep_s=options.keep_s,
                cwd=None,
                owner=self._owner,
            )

        return self._shared(facts, make)[1]

    def batch_lane(self, function: StoredFunction, options: Options, batch: int, traceparent: str | None = None) -> int:
        """A lane for tasks of a batch, which is stored after it. One without tasks is never looked at."""
        return self.stored_lane(replace(self.new_lane(function, options, batch), traceparent=traceparent))

    def stored_lane(self, new: NewLane) -> int:
        """A lane that is there for everybody when this returns, whatever becomes of what is put into it.

        Raises:
            ResultExpired: an object that its tasks need is not there any more.
        """
        if new.objects:
            self._objects.require(new.objects)
        return self._database.one(programs.lane(new))

    def shared_lane(self, function: StoredFunction, options: Options, policy: bytes | None = None) -> int:
        """The lane of single tasks of this function with these options."""
        last, directory = self._last, self._directory or os.getcwd()
        # Most often it is the same again, and to gather all that makes a lane costs more than the rest of a submit.
        is_plain = policy is None and not options.tags and not refs.used()
        if is_plain and last is not None and last.is_the_same(function, options, directory):
            return last.lane
        policy = policy or policies.encode(options.policy)
        facts = self._facts(function, options, None, policy)
        at, lane = self._shared(facts, lambda: self.new_lane(function, options, None, policy))
        if is_plain and policy is None:
            self._last = _Asked(function, options, directory, at, lane)
        return lane

    def _shared(self, facts: tuple[Any, ...], make: Callable[[], NewLane]) -> tuple[float, int]:
        """When it was stored (``time.time()``), and its id."""
        with self._lock:
            known = self._lanes.get(facts)
        if known is not None and _is_fresh(known[0]):
            return known
        stored = time.time(), self.stored_lane(make())
        with self._lock:
            _keep(self._lanes, facts, stored)
        return stored

    def lanes(self) -> list[int]:
        """The lanes of single tasks that were used here."""
        with self._lock:
            return [lane for _, lane in self._lanes.values()]


def _digest(facts: tuple[Any, ...]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _is_fresh(at: float) -> bool:
    """By a clock that goes on while the machine sleeps: after a week asleep, lanes that nobody used are gone."""
    return 0.0 <= time.time() - at < FRESH_S


def _keep(known: dict[K, T], key: K, value: T) -> None:
    """Remember it, and forget the oldest of too many: a worker meets ever new ones, and lives for months."""
    known[key] = value
    if len(known) > MOST_KEPT:
        del known[next(iter(known))]


def environment() -> dict[str, Any]:
    """Where a batch was submitted from."""
    return {
        "python": sys.version.split()[0],
        "prefix": sys.prefix,
        "platform": sys.platform,
        "host": socket.gethostname(),
        "cwd": os.getcwd(),
    }


Namer = Callable[[tuple[Any, ...], dict[str, Any]], str]


def namer(external_id: Callable[..., str]) -> Namer:
    """The external id of a call: the option's callable given the item, as the function itself would get it."""
    from goque.model.options import word

    def name(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return word("external_id", external_id(*args, **kwargs))

    return name
