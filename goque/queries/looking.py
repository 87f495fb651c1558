"""What looks at runs, tasks and batches have in common: ranges of ids, pages, conditions. Not for: the rows themselves.

Nothing sorts all tasks: in the default order, newest first, each range of ids is read from the end of a primary key
until there are enough rows. Batch tasks have larger ids than single ones whatever their age, so those are two ranges.
In the order of ids a page begins where the last one ended, wherever that is, at the same cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from goque.model.identity import FIRST_BATCH_TASK, SPAN
from goque.queries.filters import Filters, Moment
from goque.sql import (
    BIGINT,
    BOOLEAN,
    JSONB,
    TEXT,
    Bind,
    Condition,
    Expression,
    Query,
    Statement,
    array,
    concat,
    function,
    lit,
    now,
    present,
    scalar,
    seconds,
    select,
    template,
    unnest,
)
from goque.sql.expressions import value_near
from goque.sql.tables import BATCH, LANE, TASK, WORKER

Spans = Sequence[tuple[int, int]]
"""Ranges of task ids, ends included."""
EVERYTHING: Spans = ((FIRST_BATCH_TASK, 2**63 - 1), (0, FIRST_BATCH_TASK - 1))


def span_of(batch: int) -> tuple[int, int]:
    """The ids of a batch's tasks."""
    return batch * SPAN, batch * SPAN + SPAN - 1


@template(read=scalar)
def _moment() -> Query[Any]:
    return select(now().as_("moment"))


def moment() -> Statement[datetime]:
    """The database's clock."""
    return _moment.bind()


@template(read=scalar)
def _batches_called() -> Query[Any]:
    names, me = Bind("names", array(TEXT)), Bind("me", TEXT, nullable=True)
    wanted = unnest("wanted", name=names)
    mine = me.is_null() | (BATCH.owner == me)
    whole = concat(BATCH.owner, "/", present(BATCH.name))
    return (
        select(BATCH.id)
        .from_(wanted)
        .join(BATCH, ((BATCH.name == wanted.name) & mine) | (whole == wanted.name))
        .where(BATCH.superseded_at.is_null())
    )


def batches_called(names: Sequence[str], me: str | None) -> Statement[int]:
    """The batches of these names, each "name" or "owner/name"; a bare name is a batch of ``me``, or of anybody."""
    return _batches_called.bind(names=list(names), me=me)


def span() -> Any:
    """The ranges to look at, as rows; their values are ``span_values``."""
    return unnest("span", first=Bind("firsts", array(BIGINT)), last=Bind("lasts", array(BIGINT)))


def span_values(spans: Spans) -> dict[str, object]:
    """The values that queries over ranges of ids take."""
    return {"firsts": [first for first, _ in spans], "lasts": [last for _, last in spans]}


def _at(moment: Moment) -> Expression[datetime] | datetime:
    return moment if isinstance(moment, datetime) else now() - seconds(float(moment))


def within(at: Expression[Any], filters: Filters) -> list[Condition]:
    """Conditions on when something last happened."""
    conditions = []
    if filters.since is not None:
        conditions.append(at >= _at(filters.since))
    if filters.until is not None:
        conditions.append(at < _at(filters.until))
    return conditions


def task_conditions(filters: Filters) -> tuple[list[Condition], bool]:
    """Conditions on the task and its lane, and whether the lane is needed."""
    on_lane = lane_conditions(filters)
    on_task: list[Condition] = []
    if filters.external_id is not None:
        on_task.append(TASK.external_id.in_(filters.external_id))
    if filters.task_status is not None:
        on_task.append(one_of(TASK.status, filters.task_status))
    if filters.attempts is not None:
        on_task.append(TASK.attempts.in_(filters.attempts))
    if filters.metadata is not None:
        on_task.append(contains(TASK.metadata, filters.metadata))
    return on_task + on_lane, bool(on_lane)


def lane_conditions(filters: Filters) -> list[Condition]:
    """Conditions on the lane."""
    wanted = ((LANE.queue, filters.queue), (LANE.type, filters.type), (LANE.owner, filters.owner))
    return [column.in_(values) for column, values in wanted if values is not None]


def contains(document: Expression[Any], wanted: Mapping[str, Any]) -> Condition:
    """The document has these keys with these values."""
    return function("jsonb_contains", BOOLEAN, document, value_near(dict(wanted), JSONB, "metadata="), nullable=True)


def one_of(column: Expression[Any], statuses: frozenset[Any]) -> Condition:
    """One of these, written out: a plan for any would not see which index serves them."""
    # in_() of nothing is an empty array, which no row is in.
    return column.in_([lit(status) for status in sorted(statuses)]) if statuses else column.in_([])


def worker_is(column: Expression[Any], wanted: Sequence[int | str]) -> Condition:
    """The worker has one of these ids, or is on one of these hosts."""
    ids = [item for item in wanted if isinstance(item, int)]
    hosts = [item for item in wanted if isinstance(item, str)]
    there = select(WORKER.id).from_(WORKER).where(WORKER.host.in_(hosts))
    return column.in_(ids) | column.in_(there) if hosts else column.in_(ids)


def by_id(filters: Filters) -> bool | None:
    """Whether the ids of tasks fall, where they alone decide the order; None where they do not."""
    if len(filters.order_by) == 1 and filters.order_by[0][0] in ("task_id", "id"):
        return filters.order_by[0][1]
    return None


def beyond(id: Expression[int], run: Expression[Any] | None, filters: Filters) -> list[Condition]:
    """Only what comes after the last row of the page before."""
    if filters.after is None:
        return []
    last, last_run = filters.after
    falls = by_id(filters)
    passed = id < last if falls else id > last
    if run is None:
        return [passed]
    # The first alone is what an index can begin at.
    return [id <= last if falls else id >= last, passed | (run < last_run if falls else run > last_run)]


def first_rows(query: Any, filters: Filters, limit: int | None, *keys: Expression[Any]) -> Any:
    """As many rows of one range as can be needed, from the end at which the order begins."""
    if limit is None:
        return query
    rises = by_id(filters) is False
    return query.order_by(*(key.asc() if rises else key.desc() for key in keys)).limit(limit)


def in_order(filters: Filters, chosen: Any, known: Any, *, run: bool = False) -> list[Any]:
    """The order that was asked for, and then newest first; or that of ids alone."""
    falls = by_id(filters)
    if falls is not None:
        # The run that a task's own row tells of has no record, and is the last one.
        keys = [chosen.id, *([chosen.recorded] if run else [])]
        return [key.desc() if falls else key.asc() for key in keys]
    newest = [chosen.created_at.desc(), chosen.id.desc(), *([chosen.recorded.desc()] if run else [])]
    return [*plain_order(filters, known), *newest]


def plain_order(filters: Filters, known: Any) -> list[Any]:
    """The columns that were asked for."""
    wanted = []
    for name, falls in filters.order_by:
        column = known[name] if isinstance(known, dict) else getattr(known, name)
        wanted.append(column.desc(nulls="last") if falls else column.asc(nulls="last"))
    return wanted


def most(filters: Filters) -> int | None:
    """How many rows of each range can be needed; None where the order is another and any of them may be."""
    return None if filters.order_by and by_id(filters) is None else filters.limit
