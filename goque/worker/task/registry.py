"""``goque.Registry``: named task types, their hooks and schedules, by decorators. Not for: finding it (``apps``).

The code stays where it is: who enqueues needs the name of a type and no more, and only a worker's children call it.
"""

from __future__ import annotations

import difflib
import inspect
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, overload

from goque.errors import Cancel, InvalidInput, NotFound, Snooze, UnknownOption
from goque.model.durations import seconds
from goque.model.manifest import App, TaskType
from goque.model.options import Duration, Options
from goque.model.retries import RetryPolicy
from goque.model.schedules import Schedule
from goque.payload import fitting
from goque.worker.task import context
from goque.worker.task.context import TaskContext

log = logging.getLogger("goque.worker")

Function = TypeVar("Function", bound=Callable[..., Any])
Before = Callable[[TaskContext], object]
After = Callable[[TaskContext, "TaskOutcome"], object]
CatchUp = Literal["skip", "one", "all"]

TYPE_OPTIONS = ("queue", "priority", "timeout", "max_attempts", "retry", "retry_on", "give_up_on", "keep", "tags")
"""The options of tasks that may be given for a type."""
_LARGEST_PAYLOAD = 128 * 1024 * 1024


class TaskOutcome(NamedTuple):
    """What came of a run, for an after-hook: ``kind`` with the ``value`` it returned or the ``error`` it raised."""

    kind: Literal["done", "error", "canceled", "snoozed"]
    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """A type, the function behind it, and what its payload is made into."""

    type: TaskType
    function: Callable[..., Any]
    payload: Any
    takes_payload: bool
    policy: RetryPolicy | None

    def call(self, payload: Any) -> Any:
        """Call the function with a JSON payload, fitted; without one if it takes none.

        Raises:
            PayloadError: the payload does not fit.
        """
        fitted = fitting.fit(payload, self.payload)
        return self.function(fitted) if self.takes_payload else self.function()


class Registry:
    """Named task types of an application: ``jobs = goque.Registry()``, then ``@jobs.task("send_email")``.

    Registering a name again, as a notebook's cell does that is run once more, replaces what it stood for.

    Args:
        version: a number from 1 that grows with each deployment; the schedules of the highest hold.
    """

    def __init__(self, *, version: int | None = None) -> None:
        if version is not None and (type(version) is not int or version < 1):
            raise InvalidInput(f"version is a whole number from 1 that grows with each deployment, not {version!r}")
        self._version = version
        self._types: dict[str, Registered] = {}
        self._schedules: dict[str, Schedule] = {}
        self._before: list[tuple[str | None, Before]] = []
        self._after: list[tuple[str | None, After]] = []

    def __repr__(self) -> str:
        return f"<Registry of {', '.join(self._types) or 'nothing'}>"

    # Declaring

    @overload
    def task(self, type: Function, /) -> Function: ...
    @overload
    def task(
        self, type: str | None = None, *, payload: Any = None, concurrency: int | None = None, **options: Any
    ) -> Callable[[Function], Function]: ...
    def task(self, type: Any = None, *, payload: Any = None, concurrency: int | None = None, **options: Any) -> Any:
        """Register a function under a name, its own unless one is given. The function stays as it is.

        Args:
            type: what tasks of it are enqueued as.
            payload: a dataclass, TypedDict or pydantic model that payloads are made into; None gives them as JSON.
            concurrency: the most tasks of this type that one worker has at once.
            options: ``queue``, ``priority``, ``max_attempts``, ``timeout``, ``retry``, ``retry_on``, ``give_up_on``,
                ``keep``, ``tags``, for tasks whose submitter gives no others.

        Raises:
            InvalidInput: something that cannot be.
        """
        if inspect.isfunction(type):
            return self.task()(type)
        if payload is not None and not fitting.is_payload_type(payload):
            raise InvalidInput(f"payload is a dataclass, a TypedDict, a pydantic model or None, not {payload!r}")
        chosen = _options(options)

        def register(function: Function) -> Function:
            name = type or getattr(function, "__name__", "")
            self._types[name] = Registered(
                TaskType.of(name, chosen, concurrency), function, payload, _takes_payload(function), chosen.policy
            )
            return function

        return register

    def cron(
        self,
        expr: str,
        *,
        tz: str = "UTC",
        name: str | None = None,
        catch_up: CatchUp = "skip",
        run_on_start: bool = False,
        payload: Any = None,
    ) -> Callable[[Function], Function]:
        """Run a task at the times of a cron expression, in a time zone. Stands above ``task``, or instead of it."""
        return self._schedule(
            {"cron": expr, "tz": tz}, name=name, catch_up=catch_up, run_on_start=run_on_start, payload=payload
        )

    def every(
        self,
        period: Duration,
        *,
        name: str | None = None,
        catch_up: CatchUp = "skip",
        run_on_start: bool = False,
        payload: Any = None,
    ) -> Callable[[Function], Function]:
        """Run a task every so often: ``"15m"``, a timedelta, or seconds."""
        return self._schedule(
            {"every_s": seconds(period)}, name=name, catch_up=catch_up, run_on_start=run_on_start, payload=payload
        )

    @overload
    def before(self, hook: Before, /) -> Before: ...
    @overload
    def before(self, hook: str | None = None, /) -> Callable[[Before], Before]: ...
    def before(self, hook: Any = None, /) -> Any:
        """Call a function with the task's context before it runs; ``@jobs.before("send_email")`` for one type only.

        What it raises is taken for the task's own: ``goque.Cancel``, ``goque.Snooze``, or a failure.
        """
        return _hook(self._before, hook)

    @overload
    def after(self, hook: After, /) -> After: ...
    @overload
    def after(self, hook: str | None = None, /) -> Callable[[After], After]: ...
    def after(self, hook: Any = None, /) -> Any:
        """Call a function with the task's context and a ``goque.TaskOutcome`` after it ran.

        What it raises is logged and changes nothing. A run that was stopped, or whose process died, has no after.
        """
        return _hook(self._after, hook)

    # Using

    def run(self, type: str, payload: Any = None) -> Any:
        """Call a type's function here, with a payload as it would arrive: for tests. No hooks, no context.

        Raises:
            NotFound: there is no such type.
            PayloadError: the payload does not fit.
        """
        return self.find(type).call(_arrived(payload))

    def find(self, type: str) -> Registered:
        """
        Raises:
            NotFound: there is no such type.
        """
        found = self._types.get(type)
        if found is None:
            close = difflib.get_close_matches(type, self._types)
            hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(self._types) or 'none'}"
            raise NotFound(f"this registry has no task type {type!r}; {hint}")
        return found

    def describe(self, reference: str = "") -> App:
        """What it offers, as data.

        Raises:
            InvalidInput: a hook is for a type that there is not.
        """
        for type, hook in [*self._before, *self._after]:
            if type is not None and type not in self._types:
                raise InvalidInput(f"the hook {hook.__qualname__} is for the task type {type!r}, which there is not")
        return App(
            reference=reference,
            types=[one.type for one in self._types.values()],
            schedules=list(self._schedules.values()),
            version=self._version,
        )

    def performer(self, type: str) -> Performer:
        """The callable that a child calls for each task of a type.

        Raises:
            NotFound: there is no such type.
        """
        return Performer(self, self.find(type))

    def _schedule(self, when: dict[str, Any], *, name: str | None, **facts: Any) -> Callable[[Function], Function]:
        if facts["catch_up"] not in ("skip", "one", "all"):
            raise InvalidInput(f"catch_up is 'skip', 'one' or 'all', not {facts['catch_up']!r}")
        facts["payload"] = _arrived(facts["payload"])

        def register(function: Function) -> Function:
            known = [one.type.name for one in self._types.values() if one.function is function]
            if not known:
                self.task(function)
            type = known[-1] if known else function.__name__
            self._schedules[name or type] = Schedule(name=name or type, type=type, **when, **facts)
            return function

        return register


class Performer:
    """Runs one task of a type: hooks before and the function; who runs it calls ``after`` when it knows the outcome."""

    __slots__ = ("_after", "_before", "_registered", "policy")

    def __init__(self, registry: Registry, registered: Registered) -> None:
        name = registered.type.name
        self._registered = registered
        self._before = [hook for type, hook in registry._before if type in (None, name)]
        self._after = [hook for type, hook in registry._after if type in (None, name)]
        self.policy = registered.policy

    def __call__(self, payload: Any) -> Any:
        """What the function returns; a coroutine where it is one."""
        if self._before:
            task = context.current()
            for hook in self._before:
                hook(task)
        return self._registered.call(payload)

    def after(self, value: Any, error: BaseException | None) -> None:
        """Tell the after-hooks what came of the run, once it is certain: a value that cannot be stored is an error."""
        if not self._after:
            return
        task = context.current()
        outcome = TaskOutcome("done", value) if error is None else _outcome(error)
        for hook in self._after:
            try:
                hook(task, outcome)
            except (Exception, SystemExit):
                log.exception("an after-hook of task %s failed", task.task)


def _arrived(payload: Any) -> Any:
    """A payload as a task gets it."""
    return json.loads(fitting.as_json(payload, _LARGEST_PAYLOAD))


def _outcome(error: BaseException) -> TaskOutcome:
    if isinstance(error, Cancel):
        return TaskOutcome("canceled", error=error)
    return TaskOutcome("snoozed" if isinstance(error, Snooze) else "error", error=error)


def _options(given: dict[str, Any]) -> Options:
    for name in given:
        if name not in TYPE_OPTIONS:
            close = difflib.get_close_matches(name, TYPE_OPTIONS)
            hint = f"did you mean {' or '.join(close)}?" if close else f"a type takes {', '.join(TYPE_OPTIONS)}"
            raise UnknownOption(f"{name!r} is no option of a task type; {hint}", name=name, close=close)
    return Options().updated(given)


def _takes_payload(function: Any) -> bool:
    """Whether it can be called with one argument. What has no signature is taken to."""
    if not callable(function):
        raise InvalidInput(f"a task type is a function, not {function!r}")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    places = [one for one in parameters if one.kind not in (one.KEYWORD_ONLY, one.VAR_KEYWORD)]
    required = [one for one in places if one.default is one.empty and one.kind is not one.VAR_POSITIONAL]
    if len(required) > 1 or any(one.kind is one.KEYWORD_ONLY and one.default is one.empty for one in parameters):
        raise InvalidInput(f"a task type is called with its payload alone, and {function.__name__} wants more")
    return bool(places)


def _hook(hooks: list[tuple[str | None, Any]], given: Any) -> Any:
    """Add a hook, or give a decorator that adds one for a type; the same function again takes its own place."""
    type = None if callable(given) else given

    def add(hook: Any) -> Any:
        if inspect.iscoroutinefunction(hook):
            raise InvalidInput(f"a hook is a plain function, and {hook.__name__} is a coroutine function")
        same = [
            place
            for place, (known, other) in enumerate(hooks)
            if known == type and (other.__module__, other.__qualname__) == (hook.__module__, hook.__qualname__)
        ]
        if same:
            hooks[same[0]] = (type, hook)
        else:
            hooks.append((type, hook))
        return hook

    return add(given) if callable(given) else add
