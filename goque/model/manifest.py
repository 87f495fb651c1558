"""What an app has to offer, as data: its task types and schedules. Not for: its code, which only children load."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from goque.errors import InvalidInput
from goque.model.options import Options, word
from goque.model.schedules import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """A named type, and the options of its tasks unless their submitter gives others. Times are seconds."""

    name: str
    queue: str = "default"
    priority: int = 0
    max_attempts: int = 3
    timeout_s: float | None = None
    keep_s: float | None = None
    tags: Sequence[str] = ()
    concurrency: int | None = None
    """The most tasks of this type that one worker holds at once."""
    retry: Any = None
    """What its retry policy says where no child is left to ask it (``RetryPolicy.spelled``)."""

    @classmethod
    def of(cls, name: str, options: Options, concurrency: int | None = None) -> TaskType:
        """The type that these options describe.

        Raises:
            InvalidInput: a name or a number that cannot be.
        """
        if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
            raise InvalidInput(f"concurrency is how many tasks of a type a worker runs at once, not {concurrency!r}")
        return cls(
            name=word("a task type", name),
            queue=options.queue,
            priority=options.priority,
            max_attempts=options.max_attempts,
            timeout_s=options.timeout_s,
            keep_s=options.keep_s,
            tags=sorted(set(options.tags)),
            concurrency=concurrency,
            retry=None if options.policy is None else options.policy.spelled(),
        )

    def options(self) -> dict[str, Any]:
        """As ``Options`` takes them."""
        given: dict[str, Any] = {"queue": self.queue, "priority": self.priority, "max_attempts": self.max_attempts}
        given |= {"timeout": self.timeout_s, "tags": tuple(self.tags)}
        if self.keep_s is not None:
            given["keep"] = None if self.keep_s == float("inf") else self.keep_s
        return given


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A registry as a worker's main process knows it.

    ``reference`` is "package.module:name", from which children import it; empty when it travels in ``code``.
    ``version`` orders deployments, None where nobody gave one.
    """

    reference: str = ""
    types: Sequence[TaskType] = ()
    schedules: Sequence[Schedule] = ()
    version: int | None = None
    code: bytes | None = field(default=None, repr=False)

    def to_json(self) -> str:
        """As text, for another process."""
        facts = asdict(self)
        if self.code is not None:
            facts["code"] = base64.b64encode(self.code).decode()
        return json.dumps(facts)

    @classmethod
    def from_json(cls, text: str | bytes) -> App:
        """What ``to_json`` wrote, checked: it may come from a process that runs user code.

        Raises:
            ValueError: it is something else.
        """
        try:
            facts = json.loads(text)
            code, version = facts["code"], facts["version"]
            return cls(
                reference=str(facts["reference"]),
                types=[_type(one) for one in facts["types"]],
                schedules=[Schedule(**one) for one in facts["schedules"]],
                version=None if version is None else int(version),
                code=None if code is None else base64.b64decode(code),
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"this is no manifest ({type(error).__name__})") from None


def _type(facts: Mapping[str, Any]) -> TaskType:
    """Made by way of options, which know what each may be."""
    given = TaskType(**facts)
    checked = TaskType.of(given.name, Options().updated(given.options()), given.concurrency)
    return replace(checked, retry=given.retry)
