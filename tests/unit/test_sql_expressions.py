"""What an expression refuses, and how it is printed."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest

from goque.sql import (
    BIGINT,
    BOOLEAN,
    BYTEA,
    DOUBLE,
    INTEGER,
    JSONB,
    TEXT,
    TIMESTAMPTZ,
    Bind,
    Column,
    Expression,
    SqlType,
    Table,
    array,
    avg,
    coalesce,
    count,
    enum_text,
    epoch,
    function,
    lit,
    nextval,
    now,
    null,
    seconds,
    select,
    sum_,
    unnest,
    update,
)


class Status(StrEnum):
    NEW = "new"
    DONE = "done"


class Colour(StrEnum):
    RED = "red"
    QUOTED = "it's"


class TaskTable(Table):
    id = Column(BIGINT)
    run = Column(INTEGER)
    status = Column(enum_text(Status))
    type = Column(TEXT)
    args = Column(BYTEA, nullable=True)
    at = Column(TIMESTAMPTZ)
    paused = Column(BOOLEAN)
    run_s = Column(DOUBLE, nullable=True)
    tags = Column(array(TEXT))


# Not typed: these tests do on purpose what a type checker refuses (see tests/architecture/test_typed_sql.py).
TASK: Any = TaskTable("task")
SELECT: Any = select
LIT: Any = lit


def text(expression: Expression[Any]) -> str:
    return repr(expression).split(" ", 1)[1].removesuffix(">").removeprefix("precision ")


def test_a_column_knows_its_table_name_type_and_nullability() -> None:
    column = TaskTable("task").as_("t").args
    assert (column.table, column.name, column.sql_type, column.nullable) == ("t", "args", BYTEA, True)


def test_a_column_that_is_not_declared_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="statsu"):
        _ = TASK.statsu
    with pytest.raises(AttributeError, match="has no column 'idd', only id"):
        _ = select(TASK.id).from_(TASK).sub("t").idd


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: TASK.id == "x",
        lambda: TASK.id == True,  # noqa: E712
        lambda: TASK.id == 1.5,
        lambda: TASK.id == None,  # noqa: E711
        lambda: TASK.id < TASK.type,
        lambda: TASK.status == "new",
        lambda: TASK.status == Colour.RED,
        lambda: TASK.status == lit(Colour.RED),
        lambda: TASK.status.in_([Status.NEW, "done"]),
        lambda: TASK.type == b"x",
        lambda: TASK.type == select(TASK.type),
        lambda: TASK.at > datetime(2026, 1, 1),
        lambda: TASK.at + 5,
        lambda: TASK.id + "x",
        lambda: TASK.id / 2,
        lambda: TASK.run_s // 2,
        lambda: -TASK.type,
        lambda: ~TASK.id,
        lambda: TASK.paused & TASK.id,
        lambda: TASK.paused & True,
        lambda: coalesce(TASK.run, "x"),
        lambda: epoch(TASK.id),
        lambda: unnest("v", id=TASK.id),
        lambda: select(TASK.id).where(TASK.id),
        lambda: SELECT(TASK.id).where(False),
        lambda: SELECT("id"),
        lambda: SELECT(TASK.id).limit("5"),
        lambda: update(TASK).set(TASK.status, "new"),
        lambda: update(TASK).set(TASK.id, None),
        lambda: update(TASK).set(TASK.id, TASK.type),
        lambda: update(TASK).set(TaskTable("other").id, 1),
        lambda: LIT("text"),
        lambda: LIT(1.5),
        lambda: lit(2**63),
    ],
)
def test_a_wrong_type_is_refused_at_once(wrong: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        wrong()


def test_a_message_names_types_and_never_the_value() -> None:
    with pytest.raises(TypeError) as caught:
        _ = TASK.id == "a secret"
    assert str(caught.value) == "id takes int, not str"


def test_a_condition_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="no truth value"):
        bool(TASK.id == 1)
    with pytest.raises(TypeError, match="no truth value"):
        _ = TASK.id in [TASK.run]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (TASK.id - (TASK.id - TASK.run), '"task"."id"-("task"."id"-"task"."run")'),
        (TASK.id * (TASK.id // TASK.run), '"task"."id"*("task"."id"/"task"."run")'),
        ((-TASK.id).__neg__(), '-(-"task"."id")'),
        (TASK.id == lit(-1), '"task"."id"=(-1)'),
        ((TASK.id + TASK.run).cast(TEXT), '("task"."id"+"task"."run")::text'),
        (TASK.paused & TASK.paused & TASK.paused, '"task"."paused" AND "task"."paused" AND "task"."paused"'),
        (~(TASK.paused | TASK.paused), 'NOT ("task"."paused" OR "task"."paused")'),
        (
            TASK.paused | (TASK.paused & ~TASK.paused),
            '"task"."paused" OR ("task"."paused" AND NOT "task"."paused")',
        ),
        ((TASK.id == TASK.run).is_null(), '("task"."id"="task"."run") IS NULL'),
        (TASK.paused == (TASK.id == TASK.run), '"task"."paused"=("task"."id"="task"."run")'),
        (TASK.status == lit(Status.NEW), '"task"."status"=\'new\''),
        (TASK.status.in_([lit(Status.NEW), lit(Status.DONE)]), "\"task\".\"status\" IN ('new','done')"),
        (TASK.status.not_in([Status.NEW]), 'NOT "task"."status"=ANY(%(p1)s::text[])'),
        (TASK.id.is_distinct_from(5), '"task"."id" IS DISTINCT FROM %(p1)s::bigint'),
        (TASK.id == Bind("x", BIGINT), '"task"."id"=%(x)s::bigint'),
        (TASK.id % 10, 'MOD("task"."id",%(p1)s::bigint)'),
        (TASK.run_s > 1, '"task"."run_s">%(p1)s::double precision'),
        (now() - seconds(5), "NOW()-MAKE_INTERVAL(secs => %(p1)s::double precision)"),
        (count().filter(TASK.paused), 'COUNT(*) FILTER (WHERE "task"."paused")'),
        (count(TASK.id, distinct=True), 'COUNT(DISTINCT "task"."id")'),
        (sum_(TASK.id), 'SUM("task"."id")::bigint'),
        (avg(TASK.id).filter(TASK.paused), 'AVG("task"."id") FILTER (WHERE "task"."paused")::double precision'),
        (nextval("task_id"), 'NEXTVAL(\'"goque"."task_id"\'::regclass)'),
        (function("left", TEXT, TASK.type, 8), 'LEFT("task"."type",%(p1)s::bigint)'),
        (null(TEXT), "NULL::text"),
    ],
)
def test_an_expression_is_printed_with_the_parentheses_it_needs(expression: Expression[Any], expected: str) -> None:
    assert text(expression) == expected


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "a%b", "a;b", "1a", "ä", "a" * 64])
def test_a_name_that_needs_an_escape_is_refused(name: str) -> None:
    for make in (lambda: TASK.id.as_(name), lambda: TASK.as_(name), lambda: Bind(name, TEXT), lambda: nextval(name)):
        with pytest.raises(ValueError, match=r"letters|Bind"):
            make()


def test_the_names_that_mean_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match="automatic bind"):
        Bind("p1", TEXT)
    with pytest.raises(ValueError, match="as the schema is"):
        TASK.as_("goque")
    with pytest.raises(ValueError, match="use Bind"):
        lit(Colour.QUOTED)


AWARE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sql_type", "right", "wrong"),
    [
        (BIGINT, [0, -1, 2**62], [True, 1.0, "1", None]),
        (DOUBLE, [0, 1.5, math.nan, math.inf], [True, "1", None]),
        (TEXT, ["", "x"], [b"x", 1, None]),
        (BOOLEAN, [True, False], [0, "t", None]),
        (BYTEA, [b"", bytearray(b"x"), memoryview(b"x")], ["x", None]),
        (TIMESTAMPTZ, [AWARE], [datetime(2026, 1, 1), AWARE.date(), None]),
        (JSONB, [{}, '{"a": 1}'], [[1], 1, None]),
        (enum_text(Status), [Status.NEW], ["new", Colour.RED, None]),
        (array(BIGINT), [[], [1, 2], (1,), [1] * 100], [["1"], [None], [True], 1, "12", {1}, ["1"] * 100]),
        (array(BYTEA, nullable=True), [[b"x", None]], [["x"]]),
        (array(TIMESTAMPTZ), [[AWARE]], [[datetime(2026, 1, 1)], [AWARE, timedelta(1)]]),
    ],
)
def test_a_type_accepts_its_values_only(sql_type: SqlType[Any], right: list[object], wrong: list[object]) -> None:
    for value in right:
        sql_type.check(value, "it")
    for value in wrong:
        with pytest.raises(TypeError, match="it takes"):
            sql_type.check(value, "it")


def test_a_column_that_there_is_not_names_the_close_ones() -> None:
    from goque.sql import tasks

    with pytest.raises(AttributeError, match="TasksView has no column 'statsu'; did you mean status"):
        _ = tasks.statsu  # type: ignore[attr-defined]
