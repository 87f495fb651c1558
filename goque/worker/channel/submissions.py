"""Tasks that a task asks for, on their way from its child to main. Not for: storing them, which main has done.

The child encodes functions and arguments; main, which must not unpickle them, signs them and stores them in the
transaction that writes the task's outcome. So they are there exactly when the task has succeeded.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, islice, pairwise
from typing import Any

from goque.errors import InvalidInput, PayloadTooLarge
from goque.model.durations import seconds
from goque.model.options import OPTION_NAMES, Options, Unset, word
from goque.payload import codec, policies
from goque.worker.channel.jobs import Submission
from goque.worker.channel.protocol import LONGEST_RARE, Malformed, storable

MOST_CALLS = 10_000
"""Tasks that one run may ask for."""
IMPOSSIBLE = ("name", "on_change", "dry_run", "on_duplicate", "cache", "share_from")
"""Options that cannot be given inside a task: they ask the database, to which a child has no way."""
_LONGEST_SOURCE = LONGEST_RARE // 4
_FACTS = {"source_key": 200, "source": _LONGEST_SOURCE, "filename": 5_000}


def most_bytes(limit: int) -> int:
    """What the tasks that one run asks for may take, given the largest result."""
    return limit + LONGEST_RARE


# In the child


def of_function(
    function: Callable[..., Any],
    calls: Iterable[tuple[tuple[Any, ...], dict[str, Any]]],
    given: Mapping[str, Any],
    *,
    is_map: bool = False,
) -> Submission:
    """Calls of a function; the external id of a map is a callable of the item.

    Raises:
        InvalidInput: they cannot be stored; nothing is asked for.
    """
    from goque.payload import functions, preflight

    options = _checked(given)
    captured = functions.capture(function)
    asked = list(islice(calls, MOST_CALLS + 1))
    if len(asked) > MOST_CALLS:
        raise InvalidInput(f"a task may ask for {MOST_CALLS:,} tasks; for more submit a map that submits maps")
    if asked:
        for warning in preflight.check(captured, *asked[0], option_names=OPTION_NAMES):
            warnings.warn(warning, stacklevel=3)
    ids = _external_ids(options.external_id, asked, is_map=is_map)
    facts = {
        "source_key": captured.source_key,
        "source": captured.source if len(captured.source or "") <= _LONGEST_SOURCE // 2 else None,
        "filename": captured.filename,
        "first_line": captured.first_line,
    }
    encoded = [codec.encode_arguments(args, kwargs) for args, kwargs in asked]
    return Submission(
        captured.name, facts, captured.code, policies.encode(options.policy), encoded, _as_json(given, options), ids
    )


def of_type(type: str, payload: Any, given: Mapping[str, Any]) -> Submission:
    """One task of a named type.

    Raises:
        InvalidInput: it cannot be stored.
    """
    from goque.payload import fitting

    options = _checked(given)
    text = fitting.as_json(payload, codec.DEFAULT_LIMIT)
    facts = _as_json(given, options)
    ids = _external_ids(options.external_id, [((), {})], is_map=False)
    policy = policies.encode(options.policy)
    return Submission(word("a task type", type), None, b"", policy, [text.encode()], facts, ids)


def frame(submission: Submission, limit: int) -> tuple[bytes, bytes]:
    """Body and rare fields of its frame.

    Raises:
        PayloadTooLarge: over ``limit`` bytes.
    """
    ids = json.dumps(submission.external_ids).encode()
    parts = [submission.code, submission.policy or b"", ids, *submission.calls]
    facts = {"type": submission.type, "function": submission.function, "options": submission.options}
    rare = json.dumps({**facts, "lengths": list(map(len, parts))}).encode()
    size = sum(map(len, parts))
    if size > limit or len(rare) > LONGEST_RARE:
        raise PayloadTooLarge(
            f"what this task asks for takes {size:,} bytes, over {limit:,}; pass paths instead of data",
            size=size,
            limit=limit,
        )
    return b"".join(parts), rare


def _checked(given: Mapping[str, Any]) -> Options:
    for name in IMPOSSIBLE:
        if name in given:
            raise InvalidInput(f"{name} cannot be given inside a task; submit from outside where you need it")
    return Options().updated(given)


def _external_ids(
    external_id: Any, calls: Sequence[tuple[tuple[Any, ...], dict[str, Any]]], *, is_map: bool
) -> list[str]:
    """The external id of each call, as far as they have any."""
    if external_id is None:
        return []
    if callable(external_id) is not is_map:
        raise InvalidInput("external_id is a callable of the item for a map, and text for a single task")
    if not is_map:
        return [external_id]
    return [word("external_id", external_id(*args, **kwargs)) for args, kwargs in calls]


def _as_json(given: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """Options that were given, as JSON: durations in seconds, moments as text."""
    facts: dict[str, Any] = {}
    for name in given:
        value = getattr(options, name)
        if name in ("retry", "retry_on", "give_up_on", "external_id") or isinstance(value, Unset):
            continue
        if isinstance(value, datetime):
            value = value.isoformat()
        elif name in ("delay", "timeout", "keep", "expires") and value is not None:
            value = seconds(value)
        elif name == "tags":
            value = list(value)
        facts[name] = value
    return facts


# In main


def read(raw: bytes, body: bytes) -> Submission:
    """What a child asks for, checked.

    Raises:
        Malformed: it is not what a child sends.
    """
    try:
        fields = json.loads(raw)
        lengths, function, options = fields["lengths"], fields["function"], fields["options"]
        if not all(type(length) is int and length >= 0 for length in lengths) or sum(lengths) != len(body):
            raise Malformed("the child asked for tasks whose lengths do not add up")
        code, policy, ids, *calls = [body[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]
        if len(calls) > MOST_CALLS or any(name in options for name in (*IMPOSSIBLE, "external_id")):
            raise Malformed("the child asked for tasks that it may not ask for")
        external_ids = [word("external_id", id) for id in json.loads(ids)]
        if external_ids and len(external_ids) != len(calls):
            raise Malformed("the child asked for tasks with another number of external ids")
        for name in ("run_at", "expires"):
            if isinstance(options.get(name), str):
                options[name] = datetime.fromisoformat(options[name])
        Options().updated(options)
        if function is not None:
            texts = {name: storable(function[name] or "", longest) for name, longest in _FACTS.items()}
            function = {**texts, "source": texts["source"] or None, "first_line": int(function["first_line"]) % 2**31}
        name = word("a task type", fields["type"])
        return Submission(name, function, code, policy or None, calls, options, external_ids)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Malformed(f"the child asked for tasks in a way that cannot be read ({type(error).__name__})") from None
