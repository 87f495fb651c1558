"""What goes into the pool and what comes out of it, as data. Not for: how it travels (``worker.protocol``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from goque.model.outcomes import Outcome

PoolKind = Literal["process", "thread"]
Why = Literal["canceled", "timeout", "handed_back"]
"""Why a running job is stopped; the outcome of its run says the same."""

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A function, sent once to each child that needs it. All bytes were verified before they came here."""

    key: str
    """Names exactly this program: same key, same everything."""
    code: bytes
    name: str = ""
    source: str | None = None
    filename: str = ""
    first_line: int = 1
    kwargs: bytes | None = None
    """Encoded keyword arguments that all jobs share; decoded once per child."""
    policy: bytes | None = None
    """As ``payload.policies`` encodes it; None is the default."""
    cwd: str | None = None
    """Entered before a run where it exists."""
    environment: Mapping[str, str] | None = None
    """Variables set for the runs of this program."""
    result_limit: int = 128 * MIB
    objects: Mapping[str, str] = field(default_factory=dict)
    """The files of the objects that its tasks share, by digest."""
    app: str | None = None
    """Where the registry is that has the type ``name``, as "module:name", or empty: in ``code``. None: a function."""


class Job(NamedTuple):
    """One run of one task. A named tuple because one is built for every task; the order is that of the frame."""

    task_id: int
    run: int
    args: bytes
    attempt: int = 1
    """The number of this attempt, 1 for the first."""
    timeout: float | None = None
    """Seconds."""
    alone: bool = False
    """Nothing else may be in its child while it runs."""
    metadata: dict[str, Any] | None = None
    """Plain JSON values."""
    checkpoint: bytes | None = None
    scheduled: str | None = None
    """The schedule's moment that this task was made for, in ISO format."""


class Submission(NamedTuple):
    """Tasks that a running one asks for; they are made with its outcome, if that is a success."""

    type: str
    """A named type; of a function its name."""
    function: dict[str, Any] | None
    """What is known of the function but its code: source_key, source, filename, first_line. None for a named type."""
    code: bytes
    policy: bytes | None
    calls: list[bytes]
    """Encoded arguments, or JSON payloads, one for each task."""
    options: dict[str, Any]
    """Those that were given."""
    external_ids: list[str]
    """One for each task, or none at all."""


class Finished(NamedTuple):
    """The run ended and this is what came of it."""

    slot: int
    job: Job
    outcome: Outcome


class Returned(NamedTuple):
    """These were not run, or it cannot be told: their child died, retired or was recalled.

    ``died``: they were running, several at once, when their child died; run each of them alone next.
    """

    slot: int
    jobs: list[Job]
    died: bool = False


class Progressed(NamedTuple):
    """A job told how far it is; ``total`` is None when it does not know."""

    slot: int
    job: Job
    done: float
    total: float | None
    note: str


class Checkpointed(NamedTuple):
    """A job left something to start from at its next attempt."""

    slot: int
    job: Job
    state: bytes


class Submitted(NamedTuple):
    """A job asked for tasks to be made when it has succeeded."""

    slot: int
    job: Job
    submission: Submission


Event = Finished | Returned | Progressed | Checkpointed | Submitted
