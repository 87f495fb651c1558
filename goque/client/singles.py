"""Submitting tasks one by one. Not for: maps (``client.maps``)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from goque.client.functions import Functions, StoredFunction
from goque.client.waker import Waker
from goque.errors import DatabaseError, DuplicateTask, InvalidInput
from goque.model.durations import seconds
from goque.model.options import Options, word
from goque.payload import codec
from goque.payload.envelope import Purpose, Sealer, context_of
from goque.payload.keys import KeyRing
from goque.postgres.verbs import Verbs
from goque.queries import duplicates, enqueue
from goque.queries.enqueue import Single
from goque.queries.moments import Word

FIRST_RESERVE, LARGEST_RESERVE = 16, 1_000
TOO_OLD = "40001"
"""SQLSTATE: what a transaction would change was committed after it began."""
BLOCK = 1_000
"""Tasks of a pipeline that are stored in one statement."""


MAP_ONLY = ("name", "cache", "on_change", "dry_run")
"""Options that mean nothing for a single task."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A task that was stored, or the one that has its external id already, in whatever lane."""

    id: int
    lane: int | None
    is_duplicate: bool = False


class TaskIds:
    """Numbers for single tasks, reserved in growing blocks: a signature covers the id, so it is needed beforehand."""

    def __init__(self, database: Verbs) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._numbers: list[int] = []
        self._next = FIRST_RESERVE

    def after_fork(self) -> None:
        """The numbers in hand are those of the process that forked this one."""
        self._lock = threading.Lock()
        self._numbers = []

    def take(self) -> int:
        """A number that nobody else has."""
        with self._lock:
            if not self._numbers:
                self._numbers = sorted(self._database.all(enqueue.task_ids(self._next)), reverse=True)
                self._next = min(self._next * 4, LARGEST_RESERVE)
            return self._numbers.pop()


class Singles:
    """Stores single tasks, at once or with a block of others."""

    def __init__(self, database: Verbs, ring: KeyRing, functions: Functions, waker: Waker, *, limit: int) -> None:
        self._database = database
        self._functions = functions
        self._waker = waker
        self._limit = limit
        self._seal = Sealer.of(ring, Purpose.SINGLE)
        self._ids = TaskIds(database)
        self._is_inside = False

    def after_fork(self) -> None:
        """Begin anew in a forked process."""
        self._ids.after_fork()

    def within(self, transaction: Verbs) -> Singles:
        """The same, storing inside a transaction of the application."""
        inside = copy(self)
        inside._database, inside._is_inside = transaction, True
        return inside

    def prepare(
        self, function: StoredFunction, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options
    ) -> Single:
        """A task ready to be stored. Its function and lane are stored by this."""
        body = codec.encode_arguments(args, kwargs, limit=self._limit)
        return self.sealed(function, body, options)

    def sealed(self, function: StoredFunction, body: bytes, options: Options, policy: bytes | None = None) -> Single:
        """As ``prepare``, for arguments, and perhaps a retry policy, that are encoded already."""
        task = self._ids.take()
        lane = self._functions.shared_lane(function, options, policy)
        args = self._seal.seal(context_of(function.captured.hash, task), body)
        return self._single(task, lane, options, args=args)

    def named(self, type: str, payload: str, options: Options, policy: bytes | None = None) -> Single:
        """A task of a named type, ready to be stored; ``payload`` is JSON text. Its lane is stored by this."""
        lane = self._functions.type_lane(type, options, policy)
        return self._single(self._ids.take(), lane, options, payload=payload)

    @staticmethod
    def _single(
        task: int, lane: int, options: Options, *, args: bytes | None = None, payload: str | None = None
    ) -> Single:
        if callable(options.external_id):
            raise InvalidInput("external_id of a single task is text; a callable is for maps")
        expires = options.expires
        return Single(
            id=task,
            lane=lane,
            args=args,
            payload=payload,
            max_attempts=options.max_attempts,
            delay=(seconds(options.delay) or None) if options.delay is not None else None,
            run_at=options.run_at,
            expires=None if expires is None or isinstance(expires, datetime) else seconds(expires),
            expires_at=expires if isinstance(expires, datetime) else None,
            external_id=options.external_id,
            metadata=options.metadata,
        )

    def store(self, single: Single, type_name: str, options: Options) -> Submitted:
        """Store one task: durable when this returns, or with the transaction that it is stored in.

        Raises:
            DuplicateTask: its external id is taken and ``on_duplicate="error"``.
        """
        if single.external_id is not None:
            return self._store_once(single, type_name, options)
        if is_delayed(single):
            self._database.pipeline(enqueue.told(single, self._waker.statement(Word.DUE)))
        elif self._is_inside:
            self._database.pipeline(enqueue.told(single, self._waker.statement()))
        else:
            self._waker.telling(lambda word: self._database.pipeline(enqueue.told(single, word)))
        return Submitted(single.id, single.lane)

    def store_many(self, singles: list[Single]) -> None:
        """Store a block of tasks, all or none."""
        if not singles:
            return
        blocks = [singles[start : start + BLOCK] for start in range(0, len(singles), BLOCK)]
        with self._database.transaction() as transaction:
            for block in blocks:
                transaction.all(enqueue.singles(block))
            transaction.run(self._waker.statement(Word.WORK))
            if any(map(is_delayed, singles)):
                transaction.run(self._waker.statement(Word.DUE))

    def _store_once(self, single: Single, type_name: str, options: Options) -> Submitted:
        assert single.external_id is not None
        word("external_id", single.external_id)
        while True:
            if self._take_and_store(single, type_name, single.external_id):
                return Submitted(single.id, single.lane)
            if holders := self._database.seen(duplicates.holder(type_name, single.external_id)):
                break
            # It ended for good between the two statements, and gave its id up; or its batch is gone.
            self._database.run(duplicates.forget_holder(type_name, single.external_id))
        if options.on_duplicate == "error":
            raise DuplicateTask(
                f"task {holders[0]} of type {type_name} has the external id {single.external_id!r} already; use "
                f"another, or on_duplicate='return' to get that task",
                external_id=single.external_id,
                task_id=holders[0],
            )
        return Submitted(holders[0], None, is_duplicate=True)

    def _take_and_store(self, single: Single, type_name: str, external_id: str) -> bool:
        """Whether the id was free. In a savepoint where the transaction is the application's, which must go on."""
        try:
            with self._database.transaction() as transaction:
                if transaction.first(duplicates.take_external_id(type_name, external_id, single.id)) is None:
                    return False
                transaction.all(enqueue.single(single))
                transaction.run(self._waker.statement(Word.DUE if is_delayed(single) else Word.WORK))
                return True
        except DatabaseError as error:
            # Taken by a task that this transaction, REPEATABLE READ or stricter, is too old to see.
            if self._is_inside and error.sqlstate == TOO_OLD:
                return False
            raise


def is_delayed(single: Single) -> bool:
    """Whether it waits for its time."""
    return single.delay is not None or single.run_at is not None


def single_only(options: Options) -> Options:
    """The same options.

    Raises:
        InvalidInput: one of them means nothing for a single task.
    """
    for name in MAP_ONLY:
        if getattr(options, name) != getattr(_DEFAULTS, name):
            raise InvalidInput(f"{name} is an option of maps; a single task is found again by its id or external_id")
    return options


_DEFAULTS = Options()
