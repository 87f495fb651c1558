"""The options of a task, once: what ``q.options(...)`` and ``q.map(..., **options)`` take. Not for: worker options."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from goque.errors import InvalidInput, UnknownOption
from goque.model.durations import seconds
from goque.model.retries import RetryPolicy, checked_retry
from goque.model.texts import whole

Duration = float | int | timedelta | str
"""A length of time: seconds, a timedelta, or text such as "10m" or "1h30m"."""


class Unset:
    """The type of an option that was not given, where None has a meaning of its own."""

    def __repr__(self) -> str:
        return "unset"


UNSET: Final = Unset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How tasks are queued, retried and kept. Durations take seconds, a timedelta or "10m"; datetimes must be aware."""

    queue: str = "default"
    priority: int = 0
    """Higher runs first within a queue."""
    delay: Duration | None = None
    """Not before this long from now."""
    run_at: datetime | None = None
    """Not before this moment."""
    timeout: Duration | None = None
    """A run that takes longer is stopped, and counts as an attempt."""
    max_attempts: int = 3
    retry: Any = None
    """``Fixed``, ``Exponential``, ``Fibonacci``, a list of delays, or ``(attempt, error) -> delay | None``."""
    retry_on: Sequence[type[BaseException]] | None = None
    """Retry these exceptions only."""
    give_up_on: Sequence[type[BaseException]] = ()
    """Never retry these exceptions."""
    external_id: str | Callable[..., str] | None = None
    """Unique per task type among tasks that are live or done; for a map a callable of the item."""
    cache: bool = False
    """For a map: take results that the same function gave for the same item, whichever map it was in."""
    name: str | None = None
    """Makes a map idempotent: the same name finds the same batch."""
    metadata: Mapping[str, Any] | None = None
    expires: Duration | datetime | None = None
    """Not begun by then: canceled, whether or not there is a worker for it. Nor is what failed tried again after it."""
    keep: Duration | Unset | None = UNSET
    """How long finished work stays; None for ever."""
    share_from: int | None = 1024 * 1024
    """Bytes above which a value in ``kwargs``, or one that the function captures, is stored apart; None for never."""
    tags: Sequence[str] = ()
    """Only workers with all of these tags take it."""
    on_change: Literal["raise", "extend", "replace"] = "raise"
    on_duplicate: Literal["return", "error"] = "return"
    dry_run: int = 0
    """Run this many items here and store nothing."""

    def updated(self, given: Mapping[str, Any]) -> Options:
        """These options with others laid over them.

        Raises:
            UnknownOption: a name that is no option; the message names the ones that resemble it.
            InvalidInput: a value that an option cannot take.
        """
        for name in given:
            if name not in OPTION_NAMES:
                raise _unknown(name, given[name])
        merged = replace(self, **given)
        merged._check()
        return merged

    @property
    def timeout_s(self) -> float | None:
        """The timeout in seconds."""
        return None if self.timeout is None else positive("timeout", self.timeout)

    @property
    def keep_s(self) -> float | None:
        """The retention in seconds; None when the queue decides, infinity for ever."""
        if isinstance(self.keep, Unset):
            return None
        return float("inf") if self.keep is None else positive("keep", self.keep)

    @property
    def policy(self) -> RetryPolicy | None:
        """What decides about another attempt, None for the default.

        Raises:
            InvalidInput: ``retry`` is no policy.
        """
        if self.retry is None and self.retry_on is None and not self.give_up_on:
            return None
        return RetryPolicy(checked_retry(self.retry), self.retry_on, self.give_up_on)

    def _check(self) -> None:
        word("queue", self.queue)
        if self.queue == "*":
            raise InvalidInput("'*' stands for all queues; give a queue a name of its own")
        for name, value, low, high in (
            ("priority", self.priority, -(2**31), 2**31 - 1),
            ("max_attempts", self.max_attempts, 1, 32_000),
            ("dry_run", self.dry_run, 0, 1_000_000),
        ):
            if isinstance(value, bool) and name == "dry_run":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise InvalidInput(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        if self.delay is not None and self.run_at is not None:
            raise InvalidInput("give delay= or run_at=, not both")
        if self.delay is not None and seconds(self.delay) < 0:
            raise InvalidInput(f"delay must not be negative, not {self.delay!r}")
        for name, moment in (("run_at", self.run_at), ("expires", self.expires)):
            if isinstance(moment, datetime):
                aware(name, moment)
        if self.run_at is not None and not isinstance(self.run_at, datetime):
            raise InvalidInput(f"run_at must be an aware datetime, not {self.run_at!r}; for a duration use delay=")
        if self.expires is not None and not isinstance(self.expires, datetime):
            positive("expires", self.expires)
        if self.timeout is not None:
            positive("timeout", self.timeout)
        if not isinstance(self.keep, Unset) and self.keep is not None:
            positive("keep", self.keep)
        if self.name is not None:
            word("name", self.name)
            if "/" in self.name:
                raise InvalidInput(f"a batch name may not contain '/': it separates owner and name; got {self.name!r}")
        if isinstance(self.external_id, str):
            word("external_id", self.external_id)
        elif self.external_id is not None and not callable(self.external_id):
            raise InvalidInput(f"external_id must be text or a callable of the item, not {self.external_id!r}")
        if not isinstance(self.cache, bool):
            raise InvalidInput(f"cache is True or False, not {self.cache!r}")
        if self.cache and self.external_id is not None:
            raise InvalidInput(
                "give cache= or external_id=, not both: each says by itself what counts as the same task"
            )
        if self.share_from is not None and (type(self.share_from) is not int or self.share_from < 0):
            raise InvalidInput(f"share_from is a number of bytes, or None for never, not {self.share_from!r}")
        if self.metadata is not None:
            document("metadata", self.metadata)
        if isinstance(self.tags, str):
            raise InvalidInput(f"tags must be a list of texts; for one tag write tags=[{self.tags!r}]")
        for tag in self.tags:
            word("tags", tag)
        for name, chosen, allowed in (
            ("on_change", self.on_change, ("raise", "extend", "replace")),
            ("on_duplicate", self.on_duplicate, ("return", "error")),
        ):
            if chosen not in allowed:
                raise InvalidInput(f"{name} must be one of {', '.join(map(repr, allowed))}, not {chosen!r}")
        for name, kinds in (("retry_on", self.retry_on), ("give_up_on", self.give_up_on)):
            for kind in (kinds,) if isinstance(kinds, type) else kinds or ():
                if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                    raise InvalidInput(f"{name} takes exception classes, not {kind!r}")


_SLOTS = frozenset({"workers", "n_jobs", "max_workers", "num_workers", "processes", "concurrency"})
"""What other libraries call the number of tasks at once."""
_REPEATS = frozenset({"retries", "max_retries"})
"""What other libraries call the number of runs after the first one."""
_ELSEWHERE = {
    "retries": ["max_attempts"],
    "max_retries": ["max_attempts"],
    "attempts": ["max_attempts"],
    "countdown": ["delay"],
    "eta": ["run_at"],
    "time_limit": ["timeout"],
    "job_id": ["external_id"],
    "task_id": ["external_id"],
    "batch_name": ["name"],
    "result_ttl": ["keep"],
}
"""What other libraries call some of the options."""
OPTION_NAMES = tuple(field.name for field in fields(Options))


def _unknown(name: str, value: object) -> UnknownOption:
    """What to write instead of a name that is no option."""
    if name in _SLOTS:
        said = f"{name} is no option of tasks: slots belong to the queue, Queue(workers={value!r})"
        return UnknownOption(said, name=name)
    close = _ELSEWHERE.get(name) or difflib.get_close_matches(name, OPTION_NAMES, n=3)
    if name in _REPEATS and type(value) is int:
        hint = f": max_attempts counts the first run too, so {name}={value} is max_attempts={value + 1}"
    elif close:
        hint = f". Did you mean {' or '.join(close)}?"
    else:
        hint = f". Options are: {', '.join(OPTION_NAMES)}."
    return UnknownOption(f"there is no option {name!r}{hint}", name=name, close=close)


def word(what: str, value: object) -> str:
    """A text that PostgreSQL can hold and people can read: not empty, no NUL, at most 500 characters."""
    if not isinstance(value, str):
        raise InvalidInput(f"{what} must be text, not {type(value).__name__}")
    if not value or len(value) > 500 or "\x00" in value:
        raise InvalidInput(f"{what} must have 1 to 500 characters and no NUL, got {value[:40]!r}")
    return whole(what, value)


def document(what: str, value: object) -> None:
    """A mapping that PostgreSQL can hold as jsonb: JSON without NaN, NUL and broken text."""
    remedy = f"{what} is a mapping of plain JSON values (text, numbers, lists, mappings)"
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{remedy}, not {type(value).__name__}")
    try:
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{remedy}: {error}") from None
    if _NUL.search(text):
        raise InvalidInput(f"{remedy}, and PostgreSQL holds no NUL character")


_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def aware(what: str, moment: datetime) -> datetime:
    """A datetime with a time zone, since "3 o'clock" alone is many moments."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise InvalidInput(f"{what} must have a time zone, for example datetime.now(timezone.utc); got {moment!r}")
    return moment


def positive(what: str, value: Duration) -> float:
    """A duration above zero, in seconds."""
    length = seconds(value)
    if not length > 0:
        raise InvalidInput(f"{what} must be longer than zero, not {value!r}")
    return length
