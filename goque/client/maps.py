"""Storing a map: all of its tasks, or none, in bounded memory. Not for: single tasks (``client.singles``).

What iterates, pickles or names items is the user's code, so it runs before the transaction is opened, into a spool,
unless the items are a plain sequence that can be read while COPY is under way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from goque.client.functions import Functions, StoredFunction, environment, namer
from goque.client.items import Call, Items
from goque.client.objects import gone
from goque.client.rows import COLUMNS, Encoder, Shared, Spool, framed
from goque.client.sameness import Changes, call_digest
from goque.client.waker import Waker
from goque.errors import DatabaseError, DuplicateTask, InvalidInput
from goque.model.durations import seconds
from goque.model.identity import CACHED, SPAN, task_id
from goque.model.options import Options
from goque.model.wording import number_of
from goque.payload import codec, refs
from goque.payload.digests import DIGEST_BYTES, digest
from goque.payload.envelope import Purpose, Sealer, context_of
from goque.payload.functions import python_version
from goque.payload.keys import KeyRing
from goque.postgres.verbs import Transaction, Verbs
from goque.queries import duplicates, enqueue, objects, reading
from goque.queries.lanes import batch_lanes, lane_options
from goque.queries.moments import Word
from goque.queries.reading import BatchRow

DIGESTS_PER_ROW = 65_536
NAME_TAKEN = "23505"


class Mapped(NamedTuple):
    """A batch, and whether this call made it."""

    batch: int
    total: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Work:
    """A map as it was asked for. ``kwargs`` are as they are stored, ``sameness`` is the identity of the function and of
    what was given, ``traceparent`` names the span in which it is sent.
    """

    function: StoredFunction
    options: Options
    kwargs: Mapping[str, Any]
    sameness: str
    traceparent: str | None = None

    @classmethod
    def of(
        cls,
        function: StoredFunction,
        options: Options,
        given: Mapping[str, Any],
        kwargs: Mapping[str, Any],
        traceparent: str | None = None,
    ) -> Work:
        """With the identity worked out, of the shared arguments as they were given."""
        key = function.captured.source_key
        sameness = f"{key}:{digest(dict(given)).hex()}" if given else key
        return cls(function, options, kwargs, sameness, traceparent)

    @property
    def scope(self) -> str:
        """Within what external ids are unique: the type, or for cached calls function, arguments and Python."""
        if self.options.cache:
            return f"{CACHED}{python_version()} {self.sameness}"
        return self.function.captured.name


class Maps:
    """Stores maps, and finds named ones again."""

    def __init__(
        self, database: Verbs, ring: KeyRing, functions: Functions, waker: Waker, *, owner: str, limit: int
    ) -> None:
        self._database = database
        self._functions = functions
        self._waker = waker
        self._owner = owner
        self._limit = limit
        self._arguments = Sealer.of(ring, Purpose.ARGUMENTS)
        self._kwargs = Sealer.of(ring, Purpose.KWARGS)

    def within(self, transaction: Verbs) -> Maps:
        """The same, storing inside a transaction of the application."""
        inside = copy(self)
        inside._database = transaction
        return inside

    def store(self, work: Work, items: Items, cancel: Callable[[int, str], object]) -> Mapped:
        """Store a map, or find the batch of its name. ``cancel(batch, reason)`` is for one that is replaced.

        Raises:
            BatchMismatch: the batch of this name holds other work.
            DuplicateTask: an external id is taken and ``on_duplicate="error"``.
        """
        name = work.options.name
        if name is None:
            return self._store_new(work, items)
        # Digests tell whether it is the same work; the items themselves are kept only if some may have to be stored.
        held: list[Call] | None = [] if work.options.on_change != "raise" else None
        calls = items.calls if held is None else _kept(items.calls, held)
        if existing := self._database.seen(reading.batch_by_name(self._owner, name)):
            return self._meet(work, existing[0], b"".join(map(call_digest, calls)), held, cancel)
        given = bytearray()
        try:
            return self._store_new(work, Items(calls, items.total, False), digests=given)
        except DatabaseError as error:
            if error.sqlstate != NAME_TAKEN:
                raise
        # Another process was storing it at the same time.
        return self._meet(work, self._named(name), bytes(given), held, cancel)

    # Named batches

    def _meet(
        self,
        work: Work,
        existing: BatchRow,
        given: bytes,
        held: list[Call] | None,
        cancel: Callable[[int, str], object],
    ) -> Mapped:
        """The name is taken: is it by the same work?

        Another call may extend or replace the batch meanwhile; then the keys collide, nothing of ours is stored, and
        we look again.
        """
        try:
            return self._meet_once(work, existing, given, held, cancel)
        except DatabaseError as error:
            if error.sqlstate != NAME_TAKEN:
                raise
            return self._meet(work, self._named(work.options.name or ""), given, held, cancel)

    def _named(self, name: str) -> BatchRow:
        [found] = self._database.seen(reading.batch_by_name(self._owner, name))
        return found

    def _meet_once(
        self,
        work: Work,
        existing: BatchRow,
        given: bytes,
        held: list[Call] | None,
        cancel: Callable[[int, str], object],
    ) -> Mapped:
        there = b"".join(piece for _, piece in self._database.seen(reading.digests(existing.id)))
        same_function = work.sameness in existing.sameness
        if same_function and given == there:
            return Mapped(existing.id, existing.total, False)
        changes = Changes.between(there, given, same_function)
        if work.options.on_change == "extend" and held is not None and same_function:
            if not changes.added:
                return Mapped(existing.id, existing.total, False)
            grown = self._extend(work, existing, [held[position] for position in changes.added])
            return grown or self._store_new(work, Items(iter(held), len(held), False))
        if work.options.on_change == "replace" and held is not None:
            cancel(existing.id, "replaced by a batch of the same name")
            with_total = Items(iter(held), len(held), False)
            return self._store_new(work, with_total, supersede=existing.id)
        raise changes.refusal(existing)

    def _extend(self, work: Work, existing: BatchRow, calls: list[Call]) -> Mapped | None:
        """Add items to a batch, in a lane of their own; None if it has been deleted meanwhile."""
        _, ready = self._database.one(enqueue.new_batch())
        if work.kwargs:
            # Those that are stored hold; other bytes than ours may have been equal to what was given.
            lanes = self._database.seen(batch_lanes(existing.id))
            refs.used().update(self._database.one(lane_options(max(lanes)[0])).objects)
        lane = self._functions.batch_lane(work.function, work.options, existing.id, work.traceparent)
        # From the total that the items were compared with: had another call added some since, the ids collide.
        total = existing.total + len(calls)
        if total > SPAN:
            raise InvalidInput(f"a batch holds at most {SPAN:,} items")
        with self._database.transaction() as transaction:
            if transaction.first(enqueue.grow(existing.id, total)) is None:
                return None
            encoder = self._encoder(work, existing.id, lane, ready, first=existing.total)
            self._copy(transaction, work, encoder, encoder.chunks(calls))
        self._share(existing.id, existing.total, total)
        return Mapped(existing.id, total, False)

    # Storing

    def _store_new(
        self, work: Work, items: Items, *, supersede: int | None = None, digests: bytearray | None = None
    ) -> Mapped:
        """Store a batch. The digests of a named one's items are left in ``digests``, also when it fails."""
        batch, ready = self._database.one(enqueue.new_batch())
        lane = self._functions.batch_lane(work.function, work.options, batch, work.traceparent)
        encoder = self._encoder(work, batch, lane, ready)
        if digests is not None:
            encoder.digests = digests
        if items.instant and items.total is not None:
            self._send(work, encoder, encoder.chunks(items.calls), supersede, expected=items.total)
        else:
            with closing(Spool()) as spool:
                spool.write(encoder.chunks(items.calls))
                self._send(work, encoder, spool.read(), supersede)
        self._share(batch, 0, encoder.total)
        return Mapped(batch, encoder.total, True)

    def _send(
        self,
        work: Work,
        encoder: Encoder,
        chunks: Iterator[bytes],
        supersede: int | None,
        *,
        expected: int | None = None,
    ) -> None:
        batch = encoder.shared.batch
        with self._database.transaction() as transaction:
            if supersede is not None:
                transaction.run(duplicates.supersede(supersede))
            # The row comes first: a second call of the same name waits here, before it sends anything.
            transaction.one(
                enqueue.batch(
                    id=batch,
                    owner=self._owner,
                    name=work.options.name,
                    total=0,
                    type=work.function.captured.name,
                    kwargs=self._sealed_kwargs(batch, work.kwargs),
                    sameness=[work.sameness],
                    environment=environment(),
                    metadata=work.options.metadata,
                    keep_s=work.options.keep_s,
                )
            )
            self._copy(transaction, work, encoder, chunks)
            if expected not in (None, encoder.total):
                raise InvalidInput("the items changed while they were read; pass a copy: q.map(func, list(items))")
            transaction.one(enqueue.grow(batch, encoder.total))

    def _copy(self, transaction: Transaction, work: Work, encoder: Encoder, chunks: Iterator[bytes]) -> None:
        """Send the rows, count them, take their external ids, and say that there is work."""
        shared = encoder.shared
        transaction.copy_in_raw("task", COLUMNS, framed(chunks))
        total = encoder.total
        if needed := refs.used():
            transaction.run(objects.needed_by(shared.lane, list(needed)))
            there = transaction.all(objects.touch(list(needed)))
            if missing := needed.difference(there):
                raise gone(sorted(missing))
        if total == 0:
            return
        waits = shared.ready is None
        transaction.run(enqueue.tallied(shared.lane, new=0 if waits else total, pending=total if waits else 0))
        for start in range(0, len(encoder.digests), DIGEST_BYTES * DIGESTS_PER_ROW):
            piece = bytes(encoder.digests[start : start + DIGEST_BYTES * DIGESTS_PER_ROW])
            transaction.run(duplicates.item_digests(shared.batch, encoder.first + start // DIGEST_BYTES, piece))
        if encoder.external_id is not None:
            self._take_external_ids(transaction, work, encoder)
        transaction.run(self._waker.statement(Word.DUE if waits else Word.WORK))

    def _take_external_ids(self, transaction: Transaction, work: Work, encoder: Encoder) -> None:
        first = task_id(encoder.shared.batch, encoder.first)
        last = first + encoder.total - 1
        # Tasks are locked before external ids are taken, as by those who retry. Who has one later is too young to go.
        for held in duplicates.hold(work.scope, first, last):
            transaction.run(held)
        holding = transaction.run(duplicates.take_external_ids(work.scope, first, last))
        followers, example = 0, None
        # Again when a task has ended, or was removed, after its id was found taken and before it could be followed.
        while holding + followers < encoder.total:
            for at in range(first, last + 1, duplicates.FOLLOWED):
                found = transaction.all(duplicates.follow(work.scope, at, min(at + duplicates.FOLLOWED - 1, last)))
                followers += len(found)
                example = example or next(iter(found), None)
            if holding + followers < encoder.total:
                transaction.run(duplicates.forget_holders(work.scope, first, last))
                holding += transaction.run(duplicates.take_external_ids(work.scope, first, last))
        if example and work.options.on_duplicate == "error":
            task, other = example
            known = transaction.one(reading.task(task)).external_id or ""
            raise DuplicateTask(
                f"{number_of(followers, 'item')} with an external id that is taken, the first at position "
                f"{task % SPAN} ({known!r}) by task {other}; nothing was stored. on_duplicate='return' lets them share "
                "those tasks' outcomes",
                external_id=known,
                task_id=other,
            )

    def _share(self, batch: int, start: int, end: int) -> None:
        """Items that share another task's outcome: that task may have ended before our commit."""
        inputs = sorted(set(self._database.all(reading.followed_by(task_id(batch, start), task_id(batch, end)))))
        for at in range(0, len(inputs), duplicates.STEP):
            self._database.drain(duplicates.share(inputs[at : at + duplicates.STEP]), duplicates.STEP)

    def _encoder(self, work: Work, batch: int, lane: int, ready: int, *, first: int = 0) -> Encoder:
        options = work.options
        run_at = None
        if options.delay is not None and seconds(options.delay) > 0:
            run_at = ready + int(seconds(options.delay) * 1_000_000)
        elif options.run_at is not None:
            run_at = _microseconds(options.run_at)
        expires_at = None
        if isinstance(options.expires, datetime):
            expires_at = _microseconds(options.expires)
        elif options.expires is not None:
            expires_at = ready + int(seconds(options.expires) * 1_000_000)
        limit = self._limit
        named = namer(options.external_id) if callable(options.external_id) else None
        by_id = _cached if options.cache else None if named is None else (lambda call: named(call[0], call[1]))
        if isinstance(options.external_id, str):
            raise InvalidInput("external_id of a map is a callable of the item: each task needs an id of its own")
        return Encoder(
            Shared(
                batch,
                lane,
                None if run_at is not None else ready,
                options.max_attempts,
                run_at,
                expires_at,
                None if options.metadata is None else json.dumps(options.metadata).encode(),
            ),
            encode=lambda call: codec.encode_arguments(call[0], call[1], limit),
            sign=self._arguments.sign,
            first=first,
            digest=call_digest if options.name is not None else None,
            external_id=by_id,
        )

    def _sealed_kwargs(self, batch: int, kwargs: Mapping[str, Any]) -> bytes | None:
        if not kwargs:
            return None
        return self._kwargs.seal(context_of(batch), codec.encode_arguments((), kwargs, self._limit))


def _cached(call: Call) -> str:
    return CACHED + call_digest(call).hex()


def _kept(calls: Iterable[Call], held: list[Call]) -> Iterator[Call]:
    """The calls, each kept as it passes."""
    for call in calls:
        held.append(call)
        yield call


def _microseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
