"""Giving work and changing what was given, alike for a queue and inside a transaction. Not for: looking, waiting."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, NoReturn, Self, TypeAlias, overload

from goque.app.batch import Batch
from goque.app.changing import Changing
from goque.app.reasons import nobody_will
from goque.app.task import Task
from goque.app.verbs import Changed, cancel_batch
from goque.client.items import Items, refuse_swapped, starred, zipped
from goque.client.maps import Work
from goque.client.singles import single_only
from goque.errors import InvalidInput, NotSerializable
from goque.model.options import OPTION_NAMES, Options
from goque.payload import fitting, preflight, refs, sharing
from goque.payload.functions import CapturedFunction, capture, load
from goque.payload.origins import outside
from goque.queries import reading
from goque.queries.enqueue import Single

Func: TypeAlias = Callable[..., Any]
Shared: TypeAlias = Mapping[str, Any] | None
No: TypeAlias = Literal[0]


class Giving(Changing):
    """Gives, cancels and retries work in a unit, which each kind of giver has its own of."""

    _options: Options
    _given: dict[str, Any]

    def __reduce__(self) -> NoReturn:
        raise NotSerializable(f"a {type(self).__name__} cannot travel: inside a task use goque.context()")

    # Giving work

    def options(self, **options: Any) -> Self:
        """The same with these options for what is submitted: ``q.options(timeout="10m").submit(f, x)``.

        Raises:
            UnknownOption: no such option; the message names those that resemble it.
        """
        if "dry_run" in options:
            raise InvalidInput("dry_run is for one map and changes what it returns: q.map(func, items, dry_run=3)")
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._options = self._options.updated(options)
        other._given = {**self._given, **options}
        return other

    @overload
    def map(
        self, func: Func, *iterables: Any, kwargs: Shared = ..., strict: bool = ..., dry_run: No = ..., **options: Any
    ) -> Batch: ...
    @overload
    def map(
        self, func: Func, *iterables: Any, kwargs: Shared = ..., strict: bool = ..., dry_run: int, **options: Any
    ) -> Batch | list[Any]: ...
    def map(
        self,
        func: Func,
        *iterables: Any,
        kwargs: Shared = None,
        strict: bool = True,
        dry_run: int = 0,
        **options: Any,
    ) -> Batch | list[Any]:
        """One task per item, all of them stored when this returns, or none.

        Args:
            func: any callable; it travels with what it captures.
            iterables: the items; several iterables give an argument each, side by side.
            kwargs: keyword arguments that all calls share, stored once.
            strict: refuse sized iterables of unequal length; False stops at the shortest.
            dry_run: call the function here for so many items, store nothing, and return what it returned as a list.
            options: as ``q.options`` takes them; ``name`` makes the map idempotent.

        Raises:
            InvalidInput: something cannot be mapped; nothing was stored.
            BatchMismatch: the batch of this name holds other work.
        """
        refuse_swapped(func, iterables)
        return self._map(func, zipped(iterables, strict=strict), kwargs or {}, dry_run, options)

    @overload
    def starmap(self, func: Func, rows: Any, *, kwargs: Shared = ..., dry_run: No = ..., **options: Any) -> Batch: ...
    @overload
    def starmap(
        self, func: Func, rows: Any, *, kwargs: Shared = ..., dry_run: int, **options: Any
    ) -> Batch | list[Any]: ...
    def starmap(
        self, func: Func, rows: Any, *, kwargs: Shared = None, dry_run: int = 0, **options: Any
    ) -> Batch | list[Any]:
        """One task per row: tuples give positional arguments, mappings keyword arguments, a DataFrame its rows."""
        return self._map(func, starred(rows), kwargs or {}, dry_run, options)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Task:
        """One call, stored when this returns. Options go through ``q.options``, so that they never meet arguments.

        Raises:
            InvalidInput: function or arguments cannot be stored, or do not fit each other.
            DuplicateTask: the external id is taken and ``on_duplicate="error"``.
        """
        self._core.require_key()
        options = single_only(self._options)
        with refs.collected():
            captured = capture(fn, options.share_from)
            self._check(captured, (args, kwargs), what="the call")
            self._look_for_workers(captured, options, seldom=True)
            self._core.objects.store(captured.large)
            function = self._core.functions.store(captured)
            single = self._core.unit.singles.prepare(function, args, kwargs, options)
        return self._send(single, captured.name, options)

    def enqueue(self, type: str, payload: Any = None, **options: Any) -> Task:
        """One task of a named type, stored when this returns. Its code need not be here, nor a key.

        Args:
            type: the name under which workers have it (``goque.Registry``, ``goque worker --app``).
            payload: JSON values, a dataclass or a pydantic model. It is not signed: data, guarded by database roles.
            options: as ``q.options`` takes them; what is not given is as the type's workers declared it.

        Raises:
            PayloadError, PayloadTooLarge: the payload cannot be stored.
            DuplicateTask: the external id is taken and ``on_duplicate="error"``.
        """
        self._core.require_writable()
        chosen = single_only(self._core.types.options(type, {**self._given, **options}))
        if chosen.policy is not None:
            self._core.require_key()
        text = fitting.as_json(payload, self._core.limit)
        return self._send(self._core.unit.singles.named(type, text, chosen), type, chosen)

    # Inside

    @refs.collecting
    def _map(
        self, func: Callable[..., Any], items: Items, kwargs: Mapping[str, Any], dry_run: int, given: dict[str, Any]
    ) -> Batch | list[Any]:
        self._core.require_key()
        if dry_run != 0:
            given = {**given, "dry_run": dry_run}
        options = self._options.updated(given) if given else self._options
        captured = capture(func, None if options.dry_run else options.share_from)
        carries_refs = bool(refs.used())
        shared = sharing.parted(kwargs, options.share_from, self._core.limit)
        first, items = items.peeked()
        self._check(captured, None if first is None else (first[0], {**shared.kwargs, **first[1]}))
        del first  # which may be large, and would live until all are stored
        self._look_for_workers(captured, options)
        if options.dry_run:
            with refs.resolved(cache(self._core.objects.get)):  # as a task has them
                return items.tried(load(captured.code) if carries_refs else func, kwargs, options.dry_run)
        self._core.objects.store((*captured.large, *shared.large))
        function = self._core.functions.store(captured)
        unit = self._unit()

        def replace(batch: int, reason: str) -> Changed:
            return cancel_batch(unit, batch, unit.database.seen(reading.batch_by_id(batch))[0].total, reason)

        with self._core.tracing.sending("map", captured.name, options.queue) as sent:
            mapped = unit.maps.store(
                Work.of(function, options, kwargs, shared.kwargs, sent.traceparent), items, replace
            )
            sent.batch, sent.count = mapped.batch, mapped.total if mapped.is_new else None
        [row] = unit.database.seen(reading.batch_by_id(mapped.batch))
        self._core.new_lanes(mapped.batch)
        return Batch(self._core, row, commit=unit.commit)

    def _send(self, single: Single, type: str, options: Options) -> Task:
        with self._core.tracing.sending("submit", type, options.queue, task=single.id) as sent:
            traced = single if sent.traceparent is None else single._replace(traceparent=sent.traceparent)
            return self._store(traced, type, options)

    def _store(self, single: Single, type: str, options: Options) -> Task:
        unit = self._unit()
        stored = unit.singles.store(single, type, options)
        lane = stored.lane
        if lane is not None:
            self._core.take_up([lane])
        else:
            self._core.take_up(row.lane for row in unit.database.seen(reading.task(stored.id)))
        return Task(self._core, stored.id, lane, is_duplicate=stored.is_duplicate, commit=unit.commit)

    def _check(
        self, captured: CapturedFunction, call: tuple[Any, Any] | None, *, what: str = preflight.FIRST_ITEM
    ) -> None:
        args, kwargs = call if call is not None else (None, None)
        for warning in preflight.check(captured, args, kwargs, option_names=OPTION_NAMES, what=what):
            warnings.warn(warning, stacklevel=outside())

    def _look_for_workers(self, captured: CapturedFunction, options: Options, *, seldom: bool = False) -> None:
        if (why := nobody_will(self._core, captured, options, seldom=seldom)) is not None:
            warnings.warn(f"{captured.name.removeprefix('__main__.')} will wait: {why}", stacklevel=outside())
