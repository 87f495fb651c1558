"""Functions of PostgreSQL as typed expressions. Not for: operators, which are methods of ``Expression``.

Results are of the types that a caller expects: a sum of bigint is cast back from numeric, an average is a double.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, overload

from pypika import analytics
from pypika import functions as pypika_functions
from pypika.terms import Case, Function

from goque.sql.columns import Table
from goque.sql.expressions import Expression, Ordering, automatic, condition, operand, value_near
from goque.sql.printing import SCHEMA, Fragment, joined, quoted
from goque.sql.query import Query
from goque.sql.types import BIGINT, DOUBLE, INTERVAL, JSONB, OID, TEXT, TIMESTAMPTZ, VOID, SqlType, array

T = TypeVar("T")
_FUNCTION_NAME = re.compile(r"[a-z_][a-z0-9_]*")


def function(name: str, returns: SqlType[T], *arguments: Any, nullable: bool = False) -> Expression[T]:
    """A call of a function of PostgreSQL; values among the arguments are bound."""
    if not _FUNCTION_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a function; use lower case letters, digits and underscores")
    terms = [automatic(argument).term for argument in arguments]
    return Expression(Function(name.upper(), *terms), returns, nullable=nullable, label=name)


def now() -> Expression[datetime]:
    """The time at which the transaction began."""
    return function("now", TIMESTAMPTZ)


def session_user() -> Expression[str]:
    """The user who logged in, whichever role is acted in."""
    return Expression(Fragment("SESSION_USER::text"), TEXT, label="session_user")


def clock_timestamp() -> Expression[datetime]:
    """The time as it is now, also within one transaction."""
    return function("clock_timestamp", TIMESTAMPTZ)


def epoch(moment: Expression[datetime | None] | Expression[timedelta | None]) -> Expression[float]:
    """Seconds since 1970 of a time, or the seconds of an interval."""
    if moment.sql_type not in (TIMESTAMPTZ, INTERVAL):
        raise TypeError(f"epoch() takes a time or an interval, not {moment.sql_type.name}")
    # EXTRACT gives a numeric, and a third of the time of a long history went into making doubles of those.
    term = Fragment("DATE_PART('epoch', ", moment.term, ")")
    return Expression(term, DOUBLE, nullable=moment.nullable, label="epoch")


def seconds(number: float | Expression[float]) -> Expression[timedelta]:
    """An interval of so many seconds."""
    value = value_near(number, DOUBLE, "seconds()")
    return Expression(Fragment("MAKE_INTERVAL(secs => ", value.term, ")"), INTERVAL, nullable=value.nullable)


class Aggregate(Expression[T]):
    """An aggregate; ``filter`` restricts the rows it sees."""

    __slots__ = ("_printed",)

    def __init__(self, term: Any, sql_type: SqlType[Any], label: str, *, nullable: bool, cast: bool = False) -> None:
        super().__init__(
            Fragment(term, f"::{sql_type.name}") if cast else term, sql_type, nullable=nullable, label=label
        )
        self._printed = (term, label, cast)

    def filter(self, *conditions: Expression[bool | None]) -> Aggregate[T]:
        """Only the rows for which all conditions hold."""
        term, label, cast = self._printed
        terms = [operand(item) for item in conditions]
        filtered = Fragment(term, " FILTER (WHERE ", joined(terms, " AND "), ")")
        return Aggregate(filtered, self.sql_type, label, nullable=self.nullable, cast=cast)


def count(expression: Expression[Any] | None = None, *, distinct: bool = False) -> Aggregate[int]:
    """The number of rows, or of those where the expression is not null."""
    term = pypika_functions.Count("*" if expression is None else expression.term)
    return Aggregate(term.distinct() if distinct else term, BIGINT, "count", nullable=False)


def sum_(expression: Expression[T]) -> Aggregate[T | None]:
    """The sum; null over no rows."""
    sql_type: SqlType[Any] = BIGINT if expression.sql_type.python == "int" else expression.sql_type
    return Aggregate(pypika_functions.Sum(expression.term), sql_type, "sum", nullable=True, cast=True)


def avg(expression: Expression[float | None]) -> Aggregate[float | None]:
    """The mean as a double; null over no rows."""
    return Aggregate(pypika_functions.Avg(expression.term), DOUBLE, "avg", nullable=True, cast=True)


def min_(expression: Expression[T]) -> Aggregate[T | None]:
    """The least value; null over no rows."""
    return Aggregate(pypika_functions.Min(expression.term), _type_of(expression), "min", nullable=True)


def max_(expression: Expression[T]) -> Aggregate[T | None]:
    """The greatest value; null over no rows."""
    return Aggregate(pypika_functions.Max(expression.term), _type_of(expression), "max", nullable=True)


def bool_or(expression: Expression[bool | None]) -> Aggregate[bool | None]:
    """Whether it holds in any row; null over no rows."""
    return Aggregate(Function("BOOL_OR", expression.term), _type_of(expression), "bool_or", nullable=True)


def array_agg(
    expression: Expression[T], *, order_by: Sequence[Expression[Any] | Ordering] = ()
) -> Aggregate[list[T] | None]:
    """All values as one array; null over no rows."""
    ordered = Fragment(" ORDER BY ", joined([item.term for item in order_by])) if order_by else ""
    term = Fragment("ARRAY_AGG(", expression.term, ordered, ")")
    sql_type: SqlType[Any] = array(expression.sql_type, nullable=expression.nullable)
    return Aggregate(term, sql_type, "array_agg", nullable=True)


def percentile(fraction: float | Expression[float], expression: Expression[float | None]) -> Aggregate[float | None]:
    """The value below which this fraction of the rows lies, interpolated; null over no rows."""
    share = value_near(fraction, DOUBLE, "percentile()")
    term = Fragment("PERCENTILE_CONT(", share.term, ") WITHIN GROUP (ORDER BY ", expression.term, ")")
    return Aggregate(term, DOUBLE, "percentile", nullable=True)


def row_number(
    *, partition_by: Sequence[Expression[Any]] = (), order_by: Sequence[Expression[Any] | Ordering] = ()
) -> Expression[int]:
    """The number of the row within its partition, from 1."""
    term = analytics.RowNumber().over(*(item.term for item in partition_by))
    return Expression(term.orderby(*(item.term for item in order_by)), BIGINT, label="row_number")


@overload
def coalesce(first: Expression[T | None], *others: T | Expression[T]) -> Expression[T]: ...
@overload  # mypy calls it unreachable, and yet uses it where no value is known to be there
def coalesce(first: Expression[T], *others: Expression[T]) -> Expression[T]: ...  # type: ignore[overload-cannot-match]
def coalesce(first: Expression[Any], *others: Any) -> Expression[Any]:
    """The first value that is not null; null only if all of them are."""
    return _among("coalesce", first, others, nullable=all)


def greatest(first: Expression[T], *others: T | Expression[T]) -> Expression[T]:
    """The greatest of the values that are not null."""
    return _among("greatest", first, others, nullable=all)


def least(first: Expression[T], *others: T | Expression[T]) -> Expression[T]:
    """The least of the values that are not null."""
    return _among("least", first, others, nullable=all)


def case(*branches: tuple[Expression[bool | None], Expression[T]], else_: Expression[T]) -> Expression[T]:
    """The value of the first branch whose condition holds."""
    expressions: list[Expression[Any]] = [value for _, value in branches] + [else_]
    _require_one_type("case()", expressions)
    term = Case()
    for test, value in branches:
        term = term.when(test.term, value.term)
    nullable = any(expression.nullable for expression in expressions)
    return Expression(term.else_(else_.term), else_.sql_type, nullable=nullable, label="case")


def any_of(values: Expression[list[T] | None]) -> Expression[T]:
    """Any element of an array, as the right side of a comparison: ``lane.queue == any_of(queues)``."""
    if values.sql_type.element is None:
        raise TypeError(f"any_of() takes an array, not {values.sql_type.name}; for a query use in_()")
    return Expression(Fragment("ANY(", values.term, ")"), values.sql_type.element, label="any")


def exists(query: Query[Any]) -> Expression[bool]:
    """Whether the query has a row."""
    return condition(Fragment("EXISTS (", query, ")"))


def not_exists(query: Query[Any]) -> Expression[bool]:
    """Whether the query has no row."""
    return condition(Fragment("NOT EXISTS (", query, ")"))


def subquery(query: Query[tuple[T]]) -> Expression[T | None]:
    """The value of a query of one column and at most one row; null if it has none."""
    columns = query.result()
    if len(columns) != 1:
        raise TypeError(f"subquery() takes a query of one column, not of {len(columns)}")
    return Expression(Fragment("(", query, ")"), columns[0].sql_type, nullable=True, label=columns[0].label)


def merge(first: Expression[Any], second: Expression[Any] | dict[str, Any]) -> Expression[Any]:
    """Two jsonb objects as one; where both have a key, the second counts."""
    right = value_near(second, JSONB, "merge()")
    if first.sql_type is not JSONB or right.sql_type is not JSONB:
        raise TypeError(f"merge() takes jsonb, not {first.sql_type.name} and {right.sql_type.name}")
    nullable = first.nullable or right.nullable
    return Expression(Fragment(operand(first), " || ", operand(right)), JSONB, nullable=nullable, atomic=False)


def json_text(document: Expression[Any], key: str | Expression[str]) -> Expression[str | None]:
    """The member of a jsonb object as text; null if it has none of that name."""
    member = value_near(key, TEXT, "json_text()")
    return Expression(
        Fragment(operand(document), "->>", operand(member)), TEXT, nullable=True, atomic=False, label="json_text"
    )


def concat(first: Expression[str], *others: str | Expression[str]) -> Expression[str]:
    """Texts one after another; null if one is."""
    values = [first] + [value_near(other, TEXT, "concat()") for other in others]
    nullable = any(value.nullable for value in values)
    term = joined([operand(value) for value in values], " || ")
    return Expression(term, TEXT, nullable=nullable, atomic=False, label="concat")


def nextval(sequence: str) -> Expression[int]:
    """The next number of a sequence of the schema."""
    name = f'"{SCHEMA}".{quoted(sequence)}'
    return Expression(Fragment(f"NEXTVAL('{name}'::regclass)"), BIGINT, label="nextval")


def number_of(table: Table) -> Expression[int]:
    """The number by which PostgreSQL knows a table of the schema."""
    name = f'"{SCHEMA}".{quoted(table._table)}'
    return Expression(Fragment(f"'{name}'::regclass::oid"), OID, label="number_of")


def pg_notify(channel: str | Expression[str], payload: str | Expression[str]) -> Expression[Any]:
    """Notify the listeners of a channel when the transaction commits."""
    terms = [value_near(argument, TEXT, "pg_notify()").term for argument in (channel, payload)]
    return Expression(Function("PG_NOTIFY", *terms), VOID, nullable=False, label="pg_notify")


def optional(expression: Expression[T]) -> Expression[T | None]:
    """The same, but it may be null: a column of a source that was joined with ``left_join``."""
    return Expression(
        expression.term, _type_of(expression), nullable=True, atomic=expression.atomic, label=expression.label
    )


def present(expression: Expression[T | None]) -> Expression[T]:
    """The same, but never null: the query takes care of that."""
    sql_type: SqlType[Any] = expression.sql_type
    return Expression(expression.term, sql_type, atomic=expression.atomic, label=expression.label)


def _type_of(expression: Expression[Any]) -> SqlType[Any]:
    return expression.sql_type


def _among(name: str, first: Expression[Any], others: tuple[Any, ...], *, nullable: Any) -> Expression[Any]:
    expressions = [first] + [value_near(other, first.sql_type, f"{name}()") for other in others]
    _require_one_type(f"{name}()", expressions)
    term = Function(name.upper(), *(expression.term for expression in expressions))
    return Expression(
        term, first.sql_type, nullable=nullable(expression.nullable for expression in expressions), label=name
    )


def _require_one_type(where: str, expressions: Sequence[Expression[Any]]) -> None:
    for expression in expressions[1:]:
        if not expressions[0].sql_type.fits(expression.sql_type):
            raise TypeError(
                f"{where} takes values of one type, not {expressions[0].sql_type.name} and {expression.sql_type.name}"
            )
