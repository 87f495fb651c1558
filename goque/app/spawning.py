"""Tasks that tasks asked for, signed and made ready to be stored. Not for: storing them (``worker.completer``)."""

from __future__ import annotations

from collections.abc import Iterable

from goque.client.functions import Functions
from goque.client.singles import Singles
from goque.client.types import Types
from goque.client.waker import Waker
from goque.model.events import RunEnded
from goque.model.options import Options
from goque.model.tracing import NoTracing, Tracing
from goque.payload.codec import DEFAULT_LIMIT
from goque.payload.functions import CapturedFunction, code_hash, python_version
from goque.payload.keys import KeyRing
from goque.postgres.verbs import Verbs
from goque.queries.enqueue import Single
from goque.queries.programs import LaneRow
from goque.worker.channel.jobs import Submission

MOST_KEPT = 100
"""Owners, or directories, whose functions and lanes are remembered."""


class Spawner:
    """What a client does when it submits, for code that has no connection of its own."""

    def __init__(self, database: Verbs, ring: KeyRing, tracing: Tracing | None = None) -> None:
        self._database = database
        self._ring = ring
        self._tracing = tracing or NoTracing()
        self._types = Types(database)
        self._givers: dict[tuple[str, str | None], tuple[Functions, Singles]] = {}

    def __call__(self, submissions: Iterable[Submission], parent: LaneRow, run: RunEnded | None = None) -> list[Single]:
        """Tasks of the owner of the lane whose task asked, in its directory. Stores their functions and lanes.

        ``run`` is the run that asked, for traces.
        """
        functions, singles = self._giver(parent.owner, parent.cwd)
        spawned: list[Single] = []
        for one in submissions:
            if one.function is None:
                chosen = self._types.options(one.type, one.options)
                made = [singles.named(one.type, call.decode(), chosen, one.policy) for call in one.calls]
            else:
                function = functions.store(_captured(one))
                chosen = Options().updated(one.options)
                made = [singles.sealed(function, call, chosen, one.policy) for call in one.calls]
            if one.external_ids:
                made = [single._replace(external_id=id) for single, id in zip(made, one.external_ids, strict=True)]
            with self._tracing.sending("submit", one.type, chosen.queue, inside=run) as sent:
                sent.count = len(made)
            spawned += [single._replace(traceparent=sent.traceparent) for single in made] if sent.traceparent else made
        return spawned

    def _giver(self, owner: str, directory: str | None) -> tuple[Functions, Singles]:
        found = self._givers.get((owner, directory))
        if found is None:
            if len(self._givers) > MOST_KEPT:
                self._givers.clear()
            functions = Functions(self._database, self._ring, owner, directory)
            singles = Singles(self._database, self._ring, functions, Waker(self._database), limit=DEFAULT_LIMIT)
            found = self._givers[owner, directory] = functions, singles
        return found


def _captured(one: Submission) -> CapturedFunction:
    assert one.function is not None
    python = python_version()
    return CapturedFunction(
        # Made here: a child that named another function's would have its own code run in that one's place.
        hash=code_hash(one.code, python),
        code=one.code,
        name=one.type,
        python=python,
        is_coroutine=False,
        closure_size=len(one.code),
        captured={},
        modules=(),
        local_modules=(),
        **one.function,
    )
