"""What a worker needs to know of a lane before it runs its tasks, verified. Not for: loading code, as children do."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from goque.errors import KeyMissing, ResultExpired, SignatureInvalid
from goque.model.identity import SPAN, batch_of
from goque.model.manifest import App
from goque.payload import policies
from goque.payload.envelope import Opener, Purpose, context_of, item_context
from goque.payload.keys import KeyRing
from goque.queries.programs import LaneRow
from goque.worker.channel.jobs import Job, Program
from goque.worker.desk import Held
from goque.worker.shelf import Absent, Shelf

MOST_LANES = 20_000
"""Lanes kept; then those that nothing is held of are forgotten."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane as its worker runs it. ``refused`` is why nothing of it may be run here."""

    row: LaneRow
    program: Program | None
    refused: str | None = None
    retry: Any = None
    """What its policy says where no child is left to ask it."""


class Programs:
    """The lanes this worker has met. Every byte is verified here, before a child sees it."""

    def __init__(
        self,
        ring: KeyRing,
        load: Callable[[list[int]], list[LaneRow]],
        *,
        shelf: Shelf,
        send_for: Callable[[int, Collection[str]], None],
        result_limit: int,
        apps: Iterable[App] = (),
    ) -> None:
        """``send_for`` is told of a lane and the objects that it needs and the shelf does not have yet."""
        self._load = load
        self._shelf = shelf
        self._send_for = send_for
        self._result_limit = result_limit
        self._apps = {one.name: app for app in apps for one in app.types}
        self._types = {one.name: one for app in self._apps.values() for one in app.types}
        self._directory = os.getcwd()
        self._lanes: dict[int, Lane] = {}
        self._openers = {purpose: Opener(ring, purpose) for purpose in Purpose}
        self._arguments = self._openers[Purpose.ARGUMENTS]

    def __getitem__(self, lane: int) -> Lane:
        return self._lanes[lane]

    def find(self, lane: int) -> Lane | None:
        """The lane, None when it is not there any more, or its objects are not yet there."""
        return self._lanes.get(lane)

    def learn(self, lanes: Iterable[int], *, held: Iterable[int]) -> None:
        """Read those that are not known yet. ``held`` lanes are never forgotten: their tasks are still to be run."""
        unknown = sorted({lane for lane in lanes if lane not in self._lanes})
        if not unknown:
            return
        if len(self._lanes) > MOST_LANES:
            self._lanes = {lane: self._lanes[lane] for lane in held if lane in self._lanes}
        for row in self._load(unknown):
            try:
                self._lanes[row.id] = self._verified(row)
            except Absent as absent:
                self._send_for(row.id, absent.digests)
        self._make_room({*held, *unknown})

    def _make_room(self, needed: set[int]) -> None:
        """Forget objects that have become too many, and the lanes that name them: they may come again."""
        kept = {digest for lane in needed if lane in self._lanes for digest in self._lanes[lane].row.objects or ()}
        if dropped := set(self._shelf.drop(kept)):
            self._lanes = {id: lane for id, lane in self._lanes.items() if dropped.isdisjoint(lane.row.objects or ())}

    def arguments(self, held: Held, blob: bytes) -> bytes:
        """The verified arguments of a task; the payload of a named type is data, and is signed by nobody.

        Raises:
            SignatureInvalid, KeyMissing: they are not what was signed for this task.
        """
        batch = batch_of(held.id)
        if batch is not None:
            return bytes(self._arguments.open(item_context(batch, held.id % SPAN), blob))
        function_hash = self._lanes[held.lane].row.function_hash
        if function_hash is None:
            return blob
        context = context_of(function_hash, held.id)
        return bytes(self._openers[Purpose.SINGLE].open(context, blob))

    def checkpoint(self, task: int, sealed: bytes) -> bytes | None:
        """What an earlier attempt left, verified; None when it is nothing to trust."""
        try:
            return bytes(self._openers[Purpose.CHECKPOINT].open(context_of(task), sealed))
        except (SignatureInvalid, KeyMissing):
            return None

    def job(self, held: Held, args: bytes) -> Job:
        """One run of a task, ready for a child."""
        # In order and not by name: it is done for every task.
        return Job(
            held.id,
            held.run,
            args,
            held.attempts + 1,
            self._lanes[held.lane].row.timeout_s,
            held.alone,
            held.metadata,
            held.checkpoint and self.checkpoint(held.id, held.checkpoint),
            held.scheduled.isoformat() if held.scheduled else None,
        )

    def _verified(self, row: LaneRow) -> Lane:
        try:
            policy = row.policy and bytes(self._openers[Purpose.POLICY].open(context_of(row.digest), row.policy))
            return Lane(row, self._program(row, policy), retry=self._spelled(row, policy))
        except (SignatureInvalid, KeyMissing, ResultExpired) as error:
            return Lane(row, None, refused=str(error))

    def _spelled(self, row: LaneRow, policy: bytes | None) -> Any:
        if policy is not None:
            return policies.spelled(policy)
        return None if row.function_hash is not None else self._types[row.type].retry

    def _program(self, row: LaneRow, policy: bytes | None) -> Program:
        opened = self._openers
        if row.function_hash is None:
            app = self._apps[row.type]
            return Program(
                key=str(row.id),
                code=app.code or b"",
                app=app.reference,
                name=row.type,
                policy=policy,
                cwd=self._directory,
                result_limit=self._result_limit,
            )
        code = opened[Purpose.FUNCTION].open(context_of(row.function_hash), row.code or b"")
        if row.batch_id is not None:
            # Which function serves this batch: without it, an argument could be given to another function.
            opened[Purpose.LANE].open(context_of(row.batch_id, row.function_hash), row.seal or b"")
        kwargs = row.kwargs and opened[Purpose.KWARGS].open(context_of(row.batch_id or 0), row.kwargs)
        shared = self._shelf.take(row.objects or ())
        return Program(
            # Fetched again, an object lies elsewhere.
            key=":".join([str(row.id), *shared.values()]),
            code=bytes(code),
            name=row.type,
            source=row.source,
            filename=row.filename or "",
            first_line=row.first_line or 1,
            kwargs=None if kwargs is None else bytes(kwargs),
            policy=policy,
            cwd=row.cwd,
            result_limit=self._result_limit,
            objects=shared,
        )
