"""When a failed task runs again: policies, and the one function that applies them. Not for: counting attempts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, NamedTuple

from goque.errors import InvalidInput, NotSerializable, ResultTooLarge
from goque.model.durations import seconds

Delay = float | timedelta | str

HOPELESS: tuple[type[BaseException], ...] = (
    NameError,
    AttributeError,
    TypeError,
    ImportError,
    SyntaxError,
    NotImplementedError,
    NotSerializable,
    ResultTooLarge,
)
"""Errors of the code itself: running it again would fail again, so they are not retried unless ``retry_on`` says so."""

LONGEST = 10 * 365 * 86400.0
"""Seconds; a policy that asks for more gets this."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same delay before every attempt."""

    delay: Delay = 1.0

    def __post_init__(self) -> None:
        _checked("delay", self.delay)

    def __call__(self, attempt: int, error: BaseException | None = None) -> float:  # noqa: ARG002
        return seconds(self.delay)


@dataclass(frozen=True, slots=True)
class Exponential:
    """``first``, then ``factor`` times as long each time, at most ``limit``; with jitter anything from 0 to that."""

    first: Delay = 1.0
    factor: float = 2.0
    limit: Delay = 300.0
    jitter: bool = True

    def __post_init__(self) -> None:
        _checked("first", self.first)
        _checked("limit", self.limit)
        if not self.factor >= 1:
            raise InvalidInput(f"factor must be at least 1, not {self.factor!r}")

    def __call__(self, attempt: int, error: BaseException | None = None) -> float:  # noqa: ARG002
        longest = seconds(self.limit)
        with suppress(OverflowError):  # so large that the limit holds
            longest = min(longest, seconds(self.first) * float(self.factor) ** max(attempt - 1, 0))
        return random.uniform(0, longest) if self.jitter else longest


@dataclass(frozen=True, slots=True)
class Fibonacci:
    """``first`` times 1, 1, 2, 3, 5, 8, ..., at most ``limit``."""

    first: Delay = 1.0
    limit: Delay = 300.0

    def __post_init__(self) -> None:
        _checked("first", self.first)
        _checked("limit", self.limit)

    def __call__(self, attempt: int, error: BaseException | None = None) -> float:  # noqa: ARG002
        last, this = 0, 1
        for _ in range(min(max(attempt - 1, 0), 90)):
            last, this = this, last + this
        return min(seconds(self.limit), seconds(self.first) * this)


Retry = Callable[[int, BaseException], Delay | None] | Sequence[Delay]
"""A policy, any callable ``(attempt, error) -> delay | None``, or the delays one by one."""


class RetryPolicy(NamedTuple):
    """What travels to the child: ``retry`` (None: exponential), and which errors it is for."""

    retry: Any = None
    retry_on: Sequence[type[BaseException]] | None = None
    give_up_on: Sequence[type[BaseException]] = ()

    def spelled(self) -> Any:
        """What of it needs no code of its user's, as JSON; None where that is nothing but the default."""
        retry, timeouts = _spelled(self.retry), self._is_for(TimeoutError)
        return None if retry is None and timeouts else {"retry": retry, "timeouts": timeouts}

    def _is_for(self, error: type[BaseException]) -> bool:
        if self.give_up_on and issubclass(error, _kinds(self.give_up_on)):
            return False
        return self.retry_on is None or issubclass(error, _kinds(self.retry_on))


def decide(policy: RetryPolicy | tuple[Any, Any, Any] | None, attempt: int, error: BaseException) -> float | None:
    """Seconds until the next attempt, None for no more. ``attempt`` is the one that just failed, 1 for the first.

    Raises whatever a policy of the user raises.
    """
    retry, retry_on, give_up_on = policy or RetryPolicy()
    if give_up_on and isinstance(error, _kinds(give_up_on)):
        return None
    if retry_on is not None:
        if not isinstance(error, _kinds(retry_on)):
            return None
    elif isinstance(error, HOPELESS) and not _asks(retry):
        return None
    if retry is None:
        return DEFAULT(attempt)
    if isinstance(retry, (Fixed, Exponential, Fibonacci)):
        return retry(attempt)
    delay = retry(attempt, error) if callable(retry) else _nth(retry, attempt)
    return None if delay is None else min(max(seconds(delay), 0.0), LONGEST)


def _spelled(retry: Any) -> Any:
    if isinstance(retry, (list, tuple)):
        return [seconds(delay) for delay in retry]
    if not isinstance(retry, (Fixed, Exponential, Fibonacci)):
        return None
    given = {field.name: getattr(retry, field.name) for field in fields(retry)}
    return {type(retry).__name__: {name: _plain(value) for name, value in given.items()}}


def without_child(facts: Any, attempt: int, *, timed_out: bool = False) -> float | None:
    """What a policy says where no child is left to ask it: ``facts`` as ``spelled`` gave them, whoever did.

    A run that was stopped by its timeout has failed as if by a ``TimeoutError``; a crash is no exception.
    """
    if facts is None:
        return DEFAULT(attempt)
    try:
        if timed_out and facts["timeouts"] is False:
            return None
        retry = facts["retry"]
        if retry is None:
            return DEFAULT(attempt)
        if isinstance(retry, list):
            delay = _nth(retry, attempt)
        else:
            [(kind, given)] = retry.items()
            delay = _KINDS[kind](**given)(attempt)
        return None if delay is None else min(max(seconds(delay), 0.0), LONGEST)
    except (InvalidInput, TypeError, ValueError, KeyError, AttributeError):
        return DEFAULT(attempt)


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool) else seconds(value)


def checked_retry(retry: Any) -> Any:
    """The policy itself, if it is one.

    Raises:
        InvalidInput: it is neither a policy, a callable nor a list of delays.
    """
    if retry is None or (callable(retry) and not isinstance(retry, type)):
        return retry
    if isinstance(retry, (list, tuple)):
        for delay in retry:
            _checked("retry", delay)
        return list(retry)
    raise InvalidInput(
        "retry must be Fixed, Exponential, Fibonacci, a list of delays, or a callable "
        f"(attempt, error) -> delay | None, not {retry!r}"
    )


def _asks(retry: Any) -> bool:
    """Whether the policy looks at the error itself, so that the list of hopeless errors is not ours to apply."""
    return callable(retry) and not isinstance(retry, (Fixed, Exponential, Fibonacci))


def _nth(delays: Sequence[Delay], attempt: int) -> Delay | None:
    return delays[attempt - 1] if attempt <= len(delays) else None


def _kinds(kinds: Any) -> tuple[type[BaseException], ...]:
    return (kinds,) if isinstance(kinds, type) else tuple(kinds)


def _checked(what: str, delay: Delay) -> None:
    if not seconds(delay) >= 0:
        raise InvalidInput(f"{what} must not be negative, not {delay!r}")


_KINDS: dict[str, Callable[..., Any]] = {kind.__name__: kind for kind in (Fixed, Exponential, Fibonacci)}

DEFAULT = Exponential()
"""What applies where no policy was given, or none can be asked."""
