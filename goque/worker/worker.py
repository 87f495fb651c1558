"""A worker from start to end: what it waits for, and the order in which it stops. Not for: the parts (``crew``)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from goque.errors import DatabaseUnavailable
from goque.model.events import Events, Load, WorkersLost
from goque.payload.keys import KeyRing
from goque.postgres.database import Database
from goque.postgres.failures import call_with_backoff
from goque.postgres.notifications import Listener
from goque.postgres.verbs import Verbs
from goque.queries import claim
from goque.queries.moments import Word, channel
from goque.service import Service
from goque.worker.crew import Crew, Spawn, WorkerConfig

log = logging.getLogger("goque.worker")

LOOK_S = 0.1
"""How often the worker asks itself whether it is time to end."""
HAND_BACK_S = 3.0
"""The part of the grace that is kept for stopping and handing back."""


class Duties(Protocol):
    """The duties that workers share, as the composition root provides them."""

    def start(self) -> None: ...
    def others_lost(self) -> None: ...
    def look_when_due(self) -> None: ...
    def share_the_rest(self) -> None: ...
    def stop(self) -> None: ...


class Worker:
    """Claims tasks and runs them until it is told to stop, or until what its configuration waits for has come."""

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        config: WorkerConfig,
        *,
        duties: Callable[[Verbs, Callable[[], None]], Duties],
        spawner: Callable[[Verbs, KeyRing], Spawn],
        events: Events | None = None,
    ) -> None:
        """``duties`` makes the shared duties, given a connection and what to call when they made something ready.

        ``spawner`` makes what signs the tasks that tasks ask for. ``events`` knows who wants to hear what happens.
        """
        self._database = database
        self._ring = ring
        self._config = config
        self._events = events or Events()
        self._stop = threading.Event()
        self._stop_now = threading.Event()
        self._lost = threading.Event()
        self._bell = threading.Event()
        self._lanes: set[int] = set(config.lanes or ())
        # Three connections whatever the concurrency: one writes outcomes, one does all the rest, one listens.
        self._writing = database.dedicated("pinned")
        self._asking = database.dedicated("pinned")
        self._spawn = spawner(self._writing, ring)
        self._duties = duties(self._asking, self._something_is_ready)
        self._listener: Service | None = None
        self._crew: Crew | None = None
        self.ended_because = ""

    @property
    def id(self) -> int | None:
        """The worker's present id, None before it runs."""
        return None if self._crew is None else self._crew.me.id

    @property
    def database(self) -> Verbs:
        """The connection for everything but outcomes."""
        return self._asking

    @property
    def load(self) -> Load:
        """How much it holds."""
        if self._crew is None:
            return Load(self._config.slots, 0, 0, 0)
        _, unwritten, held = self._crew.desk.load()
        running = self._crew.dispatcher.count_running()
        return Load(self._config.slots, running, max(0, held - running - unwritten), unwritten)

    def request_stop(self) -> None:
        """Stop in an orderly way; a second request stops at once. Safe in a signal handler."""
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()
        self._bell.set()

    def serve(self, lanes: Sequence[int]) -> None:
        """Serve these lanes as well (a worker that was given lanes serves no others)."""
        self._lanes.update(lanes)
        if self._crew is not None:
            self._crew.serve(lanes)

    def run(self) -> None:
        """Work until the end; blocks."""
        self._crew = self._make_crew()
        self._start_listening()
        self._duties.start()
        began = idle_since = time.monotonic()
        if self._config.max_runtime is not None:
            self._crew.claimer.ends_at = began + self._config.max_runtime
        try:
            while not self._stop.is_set():
                self._bell.wait(LOOK_S)
                self._bell.clear()
                if self._lost.is_set():
                    self._begin_anew()
                now = time.monotonic()
                if not self._crew.desk.idle or not self._crew.claimer.looked_in_vain:
                    idle_since = now
                if reason := self._reason_to_end(began, idle_since, now):
                    self.ended_because = reason
                    break
            else:
                self.ended_because = "asked to stop"
        finally:
            self._end()

    # Reasons to end

    def _reason_to_end(self, began: float, idle_since: float, now: float) -> str:
        config, crew = self._config, self._crew
        assert crew is not None
        if config.max_runtime is not None and now - began >= config.max_runtime - config.grace:
            return "max-runtime is over"
        if config.max_tasks is not None and crew.completer.written >= config.max_tasks:
            return "max-tasks were run"
        if config.idle_exit is not None and now - idle_since >= config.idle_exit:
            return "idle"
        if config.drain and now - idle_since > 0 and self._nothing_left():
            return "drained"
        return ""

    def _nothing_left(self) -> bool:
        assert self._crew is not None
        try:
            lanes = self._asking.all(claim.unfinished(self._crew.me.eligibility))
        except DatabaseUnavailable:
            return False
        # What wants for a module here is left to others, so it does not keep this worker.
        return set(lanes) <= set(self._crew.ledger.lacking())

    # Beginning and end

    def _make_crew(self) -> Crew:
        crew = Crew(
            self._writing,
            self._asking,
            self._ring,
            self._config,
            self._on_lost,
            self._on_others_lost,
            self._duties.look_when_due,
            self._duties.share_the_rest,
            self._spawn,
            self._has_spawned,
            self._events,
        )
        if self._config.lanes is not None:
            crew.serve(sorted(self._lanes))
        return crew

    def _begin_anew(self) -> None:
        """Others have our tasks now: stop what still runs, forget it, and register again."""
        assert self._crew is not None
        old = self._crew
        old.desk.forget()
        old.close(orderly=False)
        self._lost.clear()
        self._crew = call_with_backoff(self._make_crew, stop=self._stop)
        self._crew.claimer.ends_at = old.claimer.ends_at
        # What we claimed between our death and our hearing of it was claimed after the healer had looked.
        self._duties.others_lost()

    def _end(self) -> None:
        """Stop claiming and hand back what has not begun; wait; stop what still runs and hand it back; leave."""
        crew = self._crew
        assert crew is not None
        crew.stop_claiming()
        end = time.monotonic() + max(0.0, self._config.grace - HAND_BACK_S)
        while not self._stop_now.is_set() and time.monotonic() < end:
            if crew.wait_until_idle(min(end, time.monotonic() + LOOK_S)):
                break
        if not crew.desk.idle:
            crew.dispatcher.hand_back_running()
            crew.wait_until_idle(time.monotonic() + HAND_BACK_S)
        self._duties.stop()
        if self._listener is not None:
            self._listener.stop()
        try:
            crew.close(orderly=True)
        except DatabaseUnavailable as error:
            log.warning("the database is away: what was held here will be freed as lost (%s)", error)
        self._writing.close()
        self._asking.close()
        log.info("worker %s ended: %s", crew.me.id, self.ended_because)

    # What is heard

    def _start_listening(self) -> None:
        if self._config.listen and not self._database.pooler:
            name = channel(self._database.schema)
            self._listener = Listener(self._database, [name], self._on_notify, self._on_gap)
            self._listener.start()

    def _on_notify(self, _channel: str, payload: str) -> None:
        if payload.startswith(Word.WORK):
            self._something_is_ready()
        elif payload.startswith(Word.DUE):
            self._duties.look_when_due()
        elif payload.startswith(Word.STOP) and self._crew is not None:
            self._crew.completer.watch_now()

    def _on_gap(self) -> None:
        self._something_is_ready()
        self._duties.look_when_due()

    def _something_is_ready(self) -> None:
        if self._crew is not None:
            self._crew.claimer.look_again()

    def _has_spawned(self, lanes: set[int]) -> None:
        if self._config.lanes is not None:
            self.serve(sorted(lanes))

    def _on_lost(self) -> None:
        if self._crew is not None:
            self._events.emit(WorkersLost([self._crew.me.id], itself=True))
        self._lost.set()
        self._bell.set()

    def _on_others_lost(self, workers: list[int]) -> None:
        self._events.emit(WorkersLost(workers, itself=False))
        self._duties.others_lost()
