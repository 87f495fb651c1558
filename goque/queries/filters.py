"""What users say to narrow a look at history and tasks, checked. Not for: the SQL of it (``looking``)."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from goque.errors import InvalidInput, UnknownOption
from goque.model.durations import seconds
from goque.model.states import FAILED, RunOutcome, Status
from goque.model.texts import whole

E = TypeVar("E", bound=StrEnum)
Moment = datetime | float
"""An aware datetime, or how many seconds before now on the database's clock."""

LIMIT = 1_000_000
"""Rows of a frame, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What rows to show. None lets everything pass; a sequence lets its members pass.

    ``since`` and ``until`` mean when something last happened to a row: it ended, started or was made.
    """

    status: frozenset[Status] | None = None
    outcome: frozenset[RunOutcome] | None = None
    task_status: frozenset[Status] | None = None
    since: Moment | None = None
    until: Moment | None = None
    queue: tuple[str, ...] | None = None
    type: tuple[str, ...] | None = None
    batch: tuple[int | str, ...] | None = None
    owner: tuple[str, ...] | None = None
    worker: tuple[int | str, ...] | None = None
    """Ids of workers, or names of hosts."""
    external_id: tuple[str, ...] | None = None
    task: tuple[int, ...] | None = None
    error_type: tuple[str, ...] | None = None
    error: str | None = None
    """Text in the error of a run, in any case."""
    attempts: tuple[int, ...] | None = None
    longer_than: float | None = None
    """Seconds that a run took, or takes by now."""
    metadata: Mapping[str, Any] | None = None
    """Keys and values that the metadata has, perhaps beside others."""
    after: tuple[int, int] | None = None
    """Task and run of the last row of the page before; only in the order of ids."""
    columns: tuple[str, ...] | None = None
    order_by: tuple[tuple[str, bool], ...] = ()
    """Columns with whether they fall."""
    limit: int = LIMIT


NAMES = (*(field.name for field in fields(Filters)), "failed")


def filters_of(given: Mapping[str, Any], *, what: str, without: Collection[str], columns: Sequence[str]) -> Filters:
    """The filters that were given for ``what``, for rows of these columns; None means not given.

    Raises:
        UnknownOption: a filter, a column or an order that does not exist; it names the close ones.
        InvalidInput: a value that the filter cannot take.
    """
    allowed = [name for name in NAMES if name not in without]
    for name in given:
        if name not in allowed:
            raise unknown(f"{what} has no filter", name, allowed)
    known = {name: value for name, value in given.items() if value is not None}
    status = _members(Status, "status", known)
    if "failed" in known:
        status = _failed(known["failed"], status)
    order_by = _order(known.get("order_by"), what, columns)
    return Filters(
        status=status,
        outcome=_members(RunOutcome, "outcome", known),
        task_status=_members(Status, "task_status", known),
        since=_moment("since", known),
        until=_moment("until", known),
        queue=_texts("queue", known),
        type=_texts("type", known),
        batch=_ids_or_names("batch", known),
        owner=_texts("owner", known),
        worker=_ids_or_names("worker", known),
        external_id=_texts("external_id", known),
        task=_ids("task", known),
        error_type=_texts("error_type", known),
        error=_text("error", known),
        attempts=_numbers("attempts", known),
        longer_than=seconds(known["longer_than"]) if "longer_than" in known else None,
        metadata=_metadata(known.get("metadata")),
        after=_after(known.get("after"), what, order_by, columns),
        columns=_columns(known.get("columns"), what, columns),
        order_by=order_by,
        limit=_limit(known.get("limit", LIMIT)),
    )


def unknown(complaint: str, name: object, allowed: Iterable[str]) -> UnknownOption:
    """The error for a name that does not exist, naming the close ones, or all."""
    allowed = list(allowed)
    close = difflib.get_close_matches(str(name), allowed, n=3, cutoff=0.5)
    advice = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(allowed)}"
    return UnknownOption(f"{complaint} {name!r}; {advice}", name=str(name), close=close)


def _failed(wanted: object, status: frozenset[Status] | None) -> frozenset[Status]:
    if not isinstance(wanted, bool):
        raise InvalidInput(f"failed= takes True or False, not {wanted!r}")
    matching = FAILED if wanted else frozenset(Status) - FAILED
    return matching if status is None else matching & status


def _listed(value: Any) -> list[Any]:
    """One value or several."""
    if isinstance(value, (str, bytes, int)) or not isinstance(value, Iterable) or hasattr(value, "id"):
        return [value]
    return list(value)


def _members(kind: type[E], name: str, given: Mapping[str, Any]) -> frozenset[E] | None:
    if name not in given:
        return None
    members = set()
    for item in _listed(given[name]):
        try:
            members.add(kind(item))
        except ValueError:
            # They are few, and what resembles most may mean another thing: "failed" is not "canceled".
            known = ", ".join(member.value for member in kind)
            raise UnknownOption(f"{name}= knows no {item!r}; there are {known}", name=str(item), close=[]) from None
    return frozenset(members)


def _texts(name: str, given: Mapping[str, Any]) -> tuple[str, ...] | None:
    if name not in given:
        return None
    items = _listed(given[name])
    for item in items:
        if not isinstance(item, str):
            raise InvalidInput(f"{name}= takes a text or several, not {type(item).__name__}")
    return tuple(str(item) for item in items)


def _text(name: str, given: Mapping[str, Any]) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"{name}= takes a text, not {type(value).__name__}")
    return value


def _ids_or_names(name: str, given: Mapping[str, Any]) -> tuple[int | str, ...] | None:
    if name not in given:
        return None
    return tuple(item if isinstance(item, str) else _id(name, item) for item in _listed(given[name]))


def _ids(name: str, given: Mapping[str, Any]) -> tuple[int, ...] | None:
    return tuple(_id(name, item) for item in _listed(given[name])) if name in given else None


def _id(name: str, item: Any) -> int:
    """A number, of any integer type, or the id of a handle."""
    number = getattr(item, "id", item)
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise InvalidInput(f"{name}= takes ids or handles, not {type(item).__name__}")
    return int(number.__index__())


def _moment(name: str, given: Mapping[str, Any]) -> Moment | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidInput(f"{name}= takes an aware datetime; add tzinfo=datetime.UTC, or say a duration as '2h'")
        return value
    try:
        return seconds(value)
    except InvalidInput:
        remedy = f"{name}= takes an aware datetime, or a duration back from now as '2h', not {value!r}"
        raise InvalidInput(remedy) from None


def _columns(value: Any, what: str, known: Sequence[str]) -> tuple[str, ...] | None:
    if value is None:
        return None
    chosen = tuple(dict.fromkeys(_listed(value)))
    if not chosen:
        raise InvalidInput(f"columns= of {what} is empty; leave it out for all of them")
    for name in chosen:
        if name not in known:
            raise unknown(f"{what} has no column", name, known)
    return chosen


def _order(value: Any, what: str, known: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    order = []
    for item in [] if value is None else _listed(value):
        name = str(item)
        if name.lstrip("+-") not in known or len(name) - len(name.lstrip("+-")) > 1:
            raise unknown(f"{what} cannot be ordered by", item, known)
        order.append((name.lstrip("+-"), name.startswith("-")))
    return tuple(order)


def _numbers(name: str, given: Mapping[str, Any]) -> tuple[int, ...] | None:
    if name not in given:
        return None
    items = _listed(given[name])
    for item in items:
        if isinstance(item, bool) or not hasattr(item, "__index__"):
            raise InvalidInput(f"{name}= takes a whole number or several, not {item!r}")
    return tuple(int(item.__index__()) for item in items)


def _metadata(value: Any) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidInput(f'metadata= takes a mapping as {{"model": "a"}}, not {type(value).__name__}')
    try:
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError):
        raise InvalidInput("metadata= takes plain JSON: texts, numbers, booleans, None, lists and dicts") from None
    return dict(json.loads(whole("metadata=", text)))


def _after(value: Any, what: str, order: Sequence[tuple[str, bool]], columns: Sequence[str]) -> tuple[int, int] | None:
    """The place of a row in the order of ids. A task that has not run has one row, so any run will do for it."""
    if value is None:
        return None
    id_column = "task_id" if "task_id" in columns else "id"
    if [name for name, _ in order] != [id_column]:
        raise InvalidInput(f'{what} goes on after a row in the order of ids only: add order_by="-{id_column}"')
    task, run = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, None)
    none = 0 if order[0][1] else 2**31 - 1
    return _id("after", task), none if run is None else _id("after", run)


def _limit(value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value.__index__()) < 0:
        raise InvalidInput(f"limit= takes a whole number of rows, not {value!r}")
    return int(value.__index__())
