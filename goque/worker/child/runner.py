"""Running one job in a child: load, call, and put what came of it into bytes. Not for: pipes, logs or clocks."""

from __future__ import annotations

import json
import logging
import os
import reprlib
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import CoroutineType
from typing import Any, NamedTuple

from goque.errors import Cancel, GiveUp, PayloadError, PayloadTooLarge, ResultTooLarge, RetryAfter, Snooze
from goque.model import retries
from goque.model.durations import seconds
from goque.payload import codec, failures, functions, policies, refs
from goque.worker.channel.jobs import Job
from goque.worker.channel.protocol import DONE, FAILED, INTERRUPTED

log = logging.getLogger("goque.worker")

Reply = tuple[int, bytes, bytes]
"""Kind, body and rare fields of the reply."""
ANSWERED = b"1"
"""Body of an interrupted coroutine: it was cancelled in order, so its child is as good as before."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlevel = 3


class Interrupted(BaseException):
    """Raised inside a task of a thread child that has to stop. Not an Exception, so that few handlers swallow it."""


class Answered(Interrupted):
    """A coroutine that was cancelled, and has cleaned up after itself."""


class _Unloadable(Exception):
    """What travels needs a module that this machine lacks."""


class Message(NamedTuple):
    """A program as it came from main, in the order of the frame."""

    key: str
    code: bytes
    name: str
    source: str | None
    filename: str
    first_line: int
    kwargs: bytes | None
    policy: bytes | None
    cwd: str | None
    environment: dict[str, str] | None
    result_limit: int
    app: str | None
    objects: dict[str, str]


@dataclass(slots=True, weakref_slot=True, eq=False)
class LoadedProgram:
    """A program of this child; the function is loaded by the first job that needs it, since loading may crash."""

    message: Message
    limit: int
    function: Callable[..., Any] | None = None
    shared: dict[str, Any] = field(default_factory=dict)
    decode: Callable[[bytes], tuple[tuple[Any, ...], dict[str, Any]]] = codec.decode_arguments
    after: Callable[[Any, BaseException | None], None] | None = None
    """Told of the value that was stored, or of the error."""
    _policy: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self) -> Callable[..., Any]:
        """The function, ready to be called.

        Raises whatever loading raises.
        """
        message = self.message
        with self._lock:
            if self.function is not None:
                return self.function
            refs.shelve(message.objects)
            if message.source:
                functions.register_source(message.source, message.filename, message.first_line)
            try:
                if message.app is not None:
                    return self._load_type(message.app)
                function = functions.load(message.code)
                if message.kwargs is not None:
                    self.shared = codec.decode_arguments(message.kwargs)[1]
            except ModuleNotFoundError as error:
                raise _Unloadable(error.name or str(error)) from error
            self.function = function
            return function

    def _load_type(self, app: str) -> Callable[..., Any]:
        from goque.worker.child import apps

        performer = apps.registry_of(app, self.message.code or None).performer(self.message.name)
        self.decode, self._policy, self.after = _payload, performer.policy, performer.after
        self.function = performer
        return performer

    def retry_in(self, attempt: int, error: BaseException) -> float | None:
        """What the policy says; the default policy where it fails."""
        try:
            policy = self._policy if self.message.policy is None else policies.load(self.message.policy)
            return retries.decide(policy, attempt, error)
        except Exception:
            log.exception("the retry policy failed; the default decides")
            return retries.decide(None, attempt, error)


def _payload(body: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """JSON is data: nothing in it is unpickled."""
    try:
        return (json.loads(body),), {}
    except ValueError:
        raise PayloadError("the payload of this task is no JSON") from None


class Runner:
    """Runs jobs; ``wait_for`` runs a coroutine to its end."""

    def __init__(self, wait_for: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._wait_for = wait_for
        self._none = codec.dumps(None, 1 << 20)

    def run(self, program: LoadedProgram, fields: tuple[Any, ...], serial: int) -> Reply:  # noqa: ARG002
        """Call the function and encode what it returned or raised. Never raises, but for ``Interrupted``."""
        args: tuple[Any, ...] = ()
        kwargs: dict[str, Any] = {}
        try:
            function = program.function or program.load()
            try:
                args, kwargs = program.decode(fields[2])
            except ModuleNotFoundError as error:
                raise _Unloadable(error.name or str(error)) from error
            if program.shared:
                kwargs = {**program.shared, **kwargs}
            value = function(*args, **kwargs)
            if value.__class__ is CoroutineType:
                value = self._wait_for(value)
            body = self._none if value is None else _encoded(value, program.limit)
            if program.after is not None:
                program.after(value, None)
            return DONE, body, b""
        except Interrupted as interrupted:
            return INTERRUPTED, ANSWERED if isinstance(interrupted, Answered) else b"", b""
        except BaseException as error:
            if program.after is not None and not isinstance(error, _Unloadable):
                program.after(None, error)
            return _failed(error, program, Job(*fields), args, kwargs)


def _encoded(value: Any, limit: int) -> bytes:
    try:
        return codec.dumps(value, limit, name="the result", advice=codec.RETURN_DATA)
    except PayloadTooLarge as error:
        raise ResultTooLarge(
            f"the result is larger than {error.limit:,} bytes; write it to a file or an object store and return its "
            "name, or raise the limit"
        ) from None


def _failed(
    error: BaseException, program: LoadedProgram, job: Job, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Reply:
    """The reply of a run that raised. The error may be anything, its ``str`` may raise, and its pickle too."""
    rare: dict[str, Any] = {"kind": "error"}
    if isinstance(error, _Unloadable):
        rare.update(
            kind="unloadable", module=str(error), message=str(error.__cause__), error_type="ModuleNotFoundError"
        )
        return FAILED, b"", json.dumps(rare).encode()
    body = b""
    try:
        _verdict(error, rare, program, job)
        rare["args_repr"] = _arguments(args, kwargs)
        failure = failures.Failure.of(error)
        rare.update(
            error_type=failure.error_type,
            message=failure.message,
            traceback=failure.traceback,
            user_frame=failure.user_frame,
        )
        if failure.exception is not None and len(failure.exception) <= program.limit:
            body = failure.exception
    except Exception as second:
        log.exception("describing the failure of task %s failed", job.task_id)
        rare.setdefault("error_type", type(error).__name__)
        rare.setdefault("message", f"(its description failed with {type(second).__name__})")
    return FAILED, body, json.dumps(rare).encode()


def _verdict(error: BaseException, rare: dict[str, Any], program: LoadedProgram, job: Job) -> None:
    """What the task asked for by what it raised, or what the policy says."""
    if isinstance(error, Cancel):
        rare["kind"] = "canceled"
    elif isinstance(error, GiveUp | PayloadError):
        rare["kind"] = "gave_up"
    elif isinstance(error, Snooze):
        rare.update(kind="snoozed", retry_in=_delay(error.delay))
    elif isinstance(error, RetryAfter):
        rare["retry_in"] = _delay(error.delay)
    else:
        rare["retry_in"] = program.retry_in(job.attempt, error)


def _delay(delay: Any) -> float:
    return min(max(seconds(delay), 0.0), retries.LONGEST)


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    try:
        parts = [_short.repr(value) for value in args[:10]]
        parts += [f"{name}={_short.repr(value)}" for name, value in list(kwargs.items())[:10]]
        return ", ".join(parts)[:200]
    except Exception as error:
        return f"(repr failed with {type(error).__name__})"


class LoopRunner:
    """Runs coroutines one after the other on one event loop, so that what ``goque.once`` keeps may belong to it."""

    def __init__(self) -> None:
        self._runner: Any = None

    def __call__(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        import asyncio

        if self._runner is None or self._runner.get_loop().is_closed():
            self._runner = asyncio.Runner()
        try:
            return self._runner.run(coroutine)
        finally:
            loop = self._runner.get_loop()
            if leftover := asyncio.all_tasks(loop):
                for task in leftover:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(leftover, timeout=1))


def enter(program: LoadedProgram, before: LoadedProgram | None) -> None:
    """Make directory and environment what the program asks for, after another one had its own."""
    message = program.message
    if before is not None and before.message.environment:
        for name in before.message.environment:
            os.environ.pop(name, None)
            if name in _inherited:
                os.environ[name] = _inherited[name]
    if message.environment:
        for name, value in message.environment.items():
            if name in os.environ:
                _inherited.setdefault(name, os.environ[name])
            os.environ[name] = value
    if message.cwd is not None:
        try:
            os.chdir(message.cwd)
        except OSError:
            log.debug("the submitter's directory %s is not here", message.cwd)


_inherited: dict[str, str] = {}
