"""The pool's children: births, retirements and deaths, and which line each slot uses. Not for: jobs' outcomes."""

from __future__ import annotations

import logging
import math
import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from goque.worker.channel.jobs import Event, PoolKind, Returned
from goque.worker.pool.children import Child, bury, make_child
from goque.worker.pool.hatchery import Death, Hatchery, NotBorn, NurseryLost
from goque.worker.pool.lines import Line
from goque.worker.pool.slots import Slot

log = logging.getLogger("goque.worker")

_KILLED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Upbringing:
    """How children are made and when they retire."""

    kind: PoolKind
    threads: int | None
    slot_environment: Sequence[Mapping[str, str]]
    max_tasks: int | None
    max_memory: int | None
    answer_time: float
    """Seconds that an interrupted thread has to answer, and a retiring child to end, before the child is killed."""


class Brood:
    """All children of a pool. A process pool has one per slot; a thread pool has one ``home`` with a line per slot."""

    def __init__(
        self,
        slots: Sequence[Slot],
        upbringing: Upbringing,
        selector: selectors.BaseSelector,
        events: list[Event],
        on_replies: Callable[[Line], None],
    ) -> None:
        self._slots = slots
        self._upbringing = upbringing
        self._selector = selector
        self._events = events
        self._on_replies = on_replies
        self._hatchery = Hatchery(threads=upbringing.threads)
        self._home: Child | None = None
        self._misbirths = 0
        self.children: dict[int, Child] = {}
        """By pid."""
        self.of_line: dict[Line, Child] = {}
        self.birth_at = 0.0
        """When the next child may be made, if that has to wait; ``time.monotonic()``."""
        self.due = math.inf
        """When somebody has to look after it, because of what happened since the last look; ``time.monotonic()``."""
        self.open = False
        """Whether children that end are replaced."""

    def start(self) -> None:
        """Start the nursery and all children.

        Raises:
            NurseryLost: it cannot be started.
        """
        self._start_nursery()
        self.open = True
        self.provide()

    def close(self) -> None:
        """End the nursery, and with it whatever child is left."""
        self._hatchery.close()

    def provide(self) -> None:
        """See to it that each slot has a line to a child that takes jobs."""
        if not self.open or self.birth_at:
            return
        try:
            if self._upbringing.kind == "thread" and self._home is None:
                self._home = self._birth("thread", [place.number for place in self._slots])
            for place in self._slots:
                if place.line is None:
                    home = self._home
                    place.line = (home or self._birth("process", [place.number])).lines[place.number if home else 0]
                    self.flush(place)
        except NotBorn as error:
            log.warning("%s", error)
            self._back_off()
        except NurseryLost:
            self._nursery_lost()

    def revive(self, now: float) -> None:
        """Make the children whose time has come."""
        for death in self._hatchery.heard():
            self._bury(death)
        if self.birth_at and now >= self.birth_at:
            self.birth_at = 0.0
            if not self._hatchery.running:
                try:
                    self._start_nursery()
                except NurseryLost as error:
                    log.error("%s", error)
                    self._back_off()
            self.provide()

    def flush(self, place: Slot) -> None:
        """Give the slot's child what it may have."""
        while place.waiting:
            if self._upbringing.kind == "thread" and (place.line is None or not place.line.live):
                self._choose_line(place)
            if not place.may_post:
                return
            place.post()
            line = place.line
            if line is not None and line.waiting_to_write and line.tasks not in self._selector.get_map():
                self._selector.register(line.tasks, selectors.EVENT_WRITE, partial(self._pump, line))

    def _choose_line(self, place: Slot) -> None:
        """An idle slot of a thread pool goes home, or to a child of its own for a job that must be alone."""
        child = self.of_line[place.line] if place.line is not None else None
        if place.waiting[0].alone:
            if child is not None and child.dedicated and not child.retiring:
                return
            place.line = None
            try:
                own = self._birth("process", [place.number])
            except (NotBorn, NurseryLost) as error:
                log.warning("%s", error)
                self._back_off()
            else:
                own.dedicated = True
                place.line = own.lines[0]
        elif child is None or child.dedicated or child.retiring:
            place.line = None if self._home is None else self._home.lines[place.number]
            if child is not None:
                self.retire(child)

    def retire(self, child: Child) -> None:
        """No more jobs for this child; it ends when it has finished what it runs."""
        if child.retiring:
            return
        child.retiring = True
        for line in child.lines:
            if back := line.recall():
                self._events.append(Returned(line.slot, back))
            self._forget_room(line)
        child.finish()
        child.kill_at = time.monotonic() + self._upbringing.answer_time
        self.due = min(self.due, child.kill_at)
        if child is self._home:
            self._home = None
        for line in child.lines:
            self.release(line)
        self.provide()

    def release(self, line: Line) -> None:
        """The slot leaves a line that has nothing more to do."""
        place = self._slots[line.slot]
        if place.line is line and not line.live:
            place.line = None
            self.provide()

    def kill(self, child: Child, reason: str) -> None:
        """End a child at once; its jobs are settled when its death is heard of."""
        if not child.killed_for:
            child.killed_for = reason
            self._hatchery.kill(child.pid)

    def finish_or_kill(self, child: Child) -> None:
        """At the end of the pool: an idle child ends by itself, another one does not."""
        if child.idle:
            child.retiring = True
            for line in child.lines:
                self._forget_room(line)
            child.finish()
        else:
            self.kill(child, "handed back")

    def stop_listening(self, line: Line) -> None:
        """There is nothing more to be read on it."""
        self._forget(line.replies)

    # Births

    def _start_nursery(self) -> None:
        self._hatchery.start()
        self._selector.register(self._hatchery.socket, selectors.EVENT_READ, self._on_deaths)

    def _birth(self, kind: PoolKind, slots: list[int]) -> Child:
        how = self._upbringing
        environment = how.slot_environment[slots[0]] if how.slot_environment else {}
        child = make_child(self._hatchery, kind, slots, environment, how.max_tasks, how.max_memory)
        self.children[child.pid] = child
        for line in child.lines:
            self.of_line[line] = child
            self._selector.register(line.replies, selectors.EVENT_READ, partial(self._on_replies, line))
        if self._hatchery.has_news:
            self.due = 0.0  # a death was told while this birth was waited for
        return child

    def _back_off(self) -> None:
        """Do not fork in a tight loop when children die before they are of any use."""
        self._misbirths += 1
        self.birth_at = time.monotonic() + min(10.0, 0.05 * 2 ** min(self._misbirths, 10))
        self.due = min(self.due, self.birth_at)

    # Deaths

    def _on_deaths(self) -> None:
        try:
            deaths = self._hatchery.read()
        except NurseryLost:
            self._nursery_lost()
            return
        for death in deaths:
            self._bury(death)

    def _bury(self, death: Death) -> None:
        child = self.children.pop(death.pid, None)
        if child is None:
            return
        for line in child.lines:
            del self.of_line[line]
            self._forget(line.replies)
            self._forget_room(line)
        if child is self._home:
            self._home = None
        if bury(child, death, self._events):
            self._misbirths = 0
        elif self.open:
            log.warning("child %s died before it was of use (status %s): %s", death.pid, death.status, child.last_words)
            self._back_off()
        for line in child.lines:
            if self._slots[line.slot].line is line:
                self._slots[line.slot].line = None
        self.provide()

    def _nursery_lost(self) -> None:
        """Its children died with it. Another one is started after a moment."""
        log.error("the process that starts the children is gone; starting another")
        for key in list(self._selector.get_map().values()):
            if key.data == self._on_deaths:
                self._selector.unregister(key.fileobj)
        self._hatchery.close()
        self._back_off()
        for pid in list(self.children):
            self._bury(Death(pid, _KILLED, 0.0, 0))

    def _pump(self, line: Line) -> None:
        if not line.pump():
            self._forget_room(line)

    def _forget(self, descriptor: int) -> None:
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def _forget_room(self, line: Line) -> None:
        if line.open:
            self._forget(line.tasks)
