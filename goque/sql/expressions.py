"""Typed expressions over PyPika terms: comparison, arithmetic and logic. Not for: functions, which are in functions.py.

An operand that is itself an operation is put in parentheses here, whatever PyPika would decide: it knows the
precedence of its own terms only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar, overload

from pypika.enums import Arithmetic, Boolean, Equality, Matching
from pypika.terms import ArithmeticExpression, BasicCriterion, ComplexCriterion, Not, NotNullCriterion, NullCriterion

from goque.sql.printing import (
    Fragment,
    Placeholder,
    ValuePlaceholder,
    collecting,
    identifier,
    joined,
)
from goque.sql.types import (
    BIGINT,
    BOOLEAN,
    BYTEA,
    DOUBLE,
    INTEGER,
    INTERVAL,
    JSONB,
    TEXT,
    TIMESTAMPTZ,
    SqlType,
    arithmetic_type,
    array,
    enum_text,
)

# Covariant, and yet taken by operators: so a nullable column meets one that is not, in either order.
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_AUTOMATIC_NAME = re.compile(r"p\d+")
_LITERAL_TEXT = re.compile(r"[A-Za-z0-9_ .:-]*")
_NATURAL: tuple[SqlType[Any], ...] = (BOOLEAN, BIGINT, DOUBLE, TEXT, BYTEA, TIMESTAMPTZ, INTERVAL, JSONB)


class Expression(Generic[T_co]):
    """Something with a value in each row: a PyPika term with its SQL type and, for checkers, its Python type.

    ``atomic`` says that it needs no parentheses as an operand; ``label`` is its name in a row.
    Comparisons build conditions, so an expression has no truth value: ``x in [column]`` raises.
    """

    __slots__ = ("atomic", "label", "nullable", "sql_type", "term")

    def __init__(
        self,
        term: Any,
        sql_type: SqlType[T_co],
        *,
        nullable: bool = False,
        atomic: bool = True,
        label: str | None = None,
    ) -> None:
        self.term = term
        self.sql_type = sql_type
        self.nullable = nullable
        self.atomic = atomic
        self.label = label

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError(
            "a condition has no truth value in Python; join conditions with &, | and ~, and pass them to where()"
        )

    def __repr__(self) -> str:
        with collecting():
            return f"<{self.sql_type.name} {self.term.get_sql()}>"

    def __eq__(self, other: T_co | Expression[T_co]) -> Expression[bool]:  # type: ignore[override]
        return self._compare(Equality.eq, other)

    def __ne__(self, other: T_co | Expression[T_co]) -> Expression[bool]:  # type: ignore[override]
        return self._compare(Equality.ne, other)

    def __lt__(self, other: T_co | Expression[T_co]) -> Expression[bool]:
        return self._compare(Equality.lt, other)

    def __le__(self, other: T_co | Expression[T_co]) -> Expression[bool]:
        return self._compare(Equality.lte, other)

    def __gt__(self, other: T_co | Expression[T_co]) -> Expression[bool]:
        return self._compare(Equality.gt, other)

    def __ge__(self, other: T_co | Expression[T_co]) -> Expression[bool]:
        return self._compare(Equality.gte, other)

    def is_distinct_from(self, other: T_co | Expression[T_co]) -> Expression[bool]:
        """Like ``!=``, with null as a value like any other."""
        right = self._comparable(other)
        return condition(Fragment(operand(self), " IS DISTINCT FROM ", operand(right)))

    def is_null(self) -> Expression[bool]:
        """Whether there is no value."""
        return condition(NullCriterion(operand(self)))

    def is_not_null(self) -> Expression[bool]:
        """Whether there is a value."""
        return condition(NotNullCriterion(operand(self)))

    def in_(self, items: Iterable[T_co | Expression[T_co]] | Any) -> Expression[bool]:
        """Whether it is among them: values (bound as one array), expressions, or the rows of a one-column query."""
        if hasattr(items, "get_sql"):
            return condition(Fragment(operand(self), " IN (", items, ")"))
        listed = list(items)
        if listed and all(isinstance(item, Expression) for item in listed):
            terms = [operand(self._comparable(item)) for item in listed]
            return condition(Fragment(operand(self), " IN (", joined(terms), ")"))
        for item in listed:
            if isinstance(item, Expression):
                raise TypeError("in_() takes either values or expressions, not both; wrap the values in lit() or Bind")
            self.sql_type.check(item, f"in_() on {self._name()}")
        bound = ValuePlaceholder(listed, array(self.sql_type))
        return condition(Fragment(operand(self), "=ANY(", bound, ")"))

    def not_in(self, items: Iterable[T_co | Expression[T_co]] | Any) -> Expression[bool]:
        """The opposite of ``in_``; null where this is null."""
        return ~self.in_(items)

    def like(self: Expression[str | None], pattern: str | Expression[str]) -> Expression[bool]:
        """SQL LIKE: ``%`` any text, ``_`` any character."""
        right = value_near(pattern, TEXT, "like()")
        return condition(BasicCriterion(Matching.like, operand(self), operand(right)))

    def ilike(self: Expression[str | None], pattern: str | Expression[str]) -> Expression[bool]:
        """LIKE without regard to case."""
        right = value_near(pattern, TEXT, "ilike()")
        return condition(BasicCriterion(Matching.ilike, operand(self), operand(right)))

    def __and__(self: Expression[bool | None], other: Expression[bool | None]) -> Expression[bool]:
        return _logic(Boolean.and_, self, other)

    def __or__(self: Expression[bool | None], other: Expression[bool | None]) -> Expression[bool]:
        return _logic(Boolean.or_, self, other)

    def __invert__(self: Expression[bool | None]) -> Expression[bool]:
        _require_boolean(self, "~")
        return condition(Not(self.term))

    @overload
    def __add__(self: Expression[datetime], other: timedelta | Expression[timedelta]) -> Expression[datetime]: ...
    @overload
    def __add__(self, other: T_co | Expression[T_co]) -> Expression[T_co]: ...
    def __add__(self, other: Any) -> Any:
        return _arithmetic(Arithmetic.add, self, other)

    @overload
    def __sub__(self: Expression[datetime], other: timedelta | Expression[timedelta]) -> Expression[datetime]: ...
    @overload
    def __sub__(
        self: Expression[datetime | None], other: datetime | Expression[datetime | None]
    ) -> Expression[timedelta]: ...
    @overload
    def __sub__(self, other: T_co | Expression[T_co]) -> Expression[T_co]: ...
    def __sub__(self, other: Any) -> Any:
        return _arithmetic(Arithmetic.sub, self, other)

    @overload
    def __mul__(self: Expression[timedelta], other: float | Expression[float]) -> Expression[timedelta]: ...
    @overload
    def __mul__(self, other: T_co | Expression[T_co]) -> Expression[T_co]: ...
    def __mul__(self, other: Any) -> Any:
        return _arithmetic(Arithmetic.mul, self, other)

    def __truediv__(self: Expression[float | None], other: float | Expression[float | None]) -> Expression[float]:
        """Division of doubles; whole numbers divide with ``//``, or are cast first."""
        return _arithmetic(Arithmetic.div, self, other)

    def __floordiv__(self: Expression[int], other: int | Expression[int]) -> Expression[int]:
        """Whole division as PostgreSQL does it: towards zero."""
        return _arithmetic(Arithmetic.div, self, other, whole=True)

    def __mod__(self: Expression[int], other: int | Expression[int]) -> Expression[int]:
        """Remainder with the sign of the dividend."""
        right = value_near(other, self.sql_type, "%")
        # As a function: the operator is a % in the text, which psycopg would take for a placeholder.
        return Expression(Fragment("MOD(", self.term, ",", right.term, ")"), self.sql_type, label="mod")

    def __neg__(self) -> Expression[T_co]:
        if self.sql_type.family not in ("number", "interval"):
            raise TypeError(f"- takes a number or an interval, not {self.sql_type.name}")
        return Expression(Fragment("-", operand(self)), self.sql_type, nullable=self.nullable, atomic=False)

    def cast(self, sql_type: SqlType[T]) -> Expression[T]:
        """This value as another type."""
        return Expression(
            Fragment(operand(self), f"::{sql_type.name}"), sql_type, nullable=self.nullable, label=self.label
        )

    def as_(self, name: str) -> Aliased[T_co]:
        """The same under this name in the row."""
        return Aliased(self, name)

    def asc(self, *, nulls: Literal["first", "last"] | None = None) -> Ordering:
        """In rising order."""
        return Ordering.of(self, "ASC", nulls)

    def desc(self, *, nulls: Literal["first", "last"] | None = None) -> Ordering:
        """In falling order."""
        return Ordering.of(self, "DESC", nulls)

    def _name(self) -> str:
        return self.label or f"an expression of type {self.sql_type.name}"

    def _comparable(self, other: Any) -> Expression[Any]:
        right = value_near(other, self.sql_type, self._name())
        if not self.sql_type.fits(right.sql_type):
            raise TypeError(
                f"{self._name()} is {self.sql_type.python} ({self.sql_type.name}) and cannot be compared with "
                f"{right._name()}, {right.sql_type.python} ({right.sql_type.name}); cast one of them"
            )
        return right

    def _compare(self, comparator: Any, other: Any) -> Expression[bool]:
        return condition(BasicCriterion(comparator, operand(self), operand(self._comparable(other))))


class Aliased(Expression[T_co]):
    """An expression with a name of its own in the row."""

    __slots__ = ("inner",)

    def __init__(self, inner: Expression[T_co], name: str) -> None:
        super().__init__(
            inner.term, inner.sql_type, nullable=inner.nullable, atomic=inner.atomic, label=identifier(name)
        )
        self.inner: Expression[T_co] = inner


class Bind(Expression[T]):
    """A value given when the statement runs. Printed as ``%(name)s::type``, always with its type.

    With ``nullable`` the value may be None.
    """

    __slots__ = ()

    @overload
    def __init__(self, name: str, sql_type: SqlType[T]) -> None: ...
    @overload
    def __init__(self: Bind[T | None], name: str, sql_type: SqlType[T], *, nullable: Literal[True]) -> None: ...
    def __init__(self, name: str, sql_type: SqlType[Any], *, nullable: bool = False) -> None:
        if _AUTOMATIC_NAME.fullmatch(name):
            raise ValueError(f"{name} is the name of an automatic bind; choose a word")
        super().__init__(Placeholder(name, sql_type, nullable), sql_type, nullable=nullable, label=name)


Condition: TypeAlias = Expression[bool]


@dataclass(frozen=True, slots=True)
class Ordering:
    """An expression with a direction, for ``order_by``."""

    term: Any

    @classmethod
    def of(cls, expression: Expression[Any], direction: str, nulls: Literal["first", "last"] | None) -> Self:
        """Print the expression, the direction, and where nulls go."""
        places = {None: "", "first": " NULLS FIRST", "last": " NULLS LAST"}
        return cls(Fragment(expression.term, f" {direction}{places[nulls]}"))


def operand(expression: Expression[Any]) -> Any:
    """The term, in parentheses if it is an operation itself."""
    return expression.term if expression.atomic else Fragment("(", expression.term, ")")


def condition(term: Any) -> Expression[bool]:
    """A boolean operation as an expression."""
    return Expression(term, BOOLEAN, atomic=False)


def null(sql_type: SqlType[T]) -> Expression[T | None]:
    """The null of a type."""
    return Expression(Fragment(f"NULL::{sql_type.name}"), sql_type, nullable=True)


@overload
def lit(value: E) -> Expression[E]: ...
@overload
def lit(value: bool) -> Expression[bool]: ...
@overload
def lit(value: int) -> Expression[int]: ...
def lit(value: Any) -> Expression[Any]:
    """A constant of the program, printed inline: a generic plan cannot use a partial index through a parameter.

    StrEnum members, bool and int only; whatever comes from outside is a ``Bind``.
    """
    if isinstance(value, StrEnum):
        if not _LITERAL_TEXT.fullmatch(value.value):
            raise ValueError(
                f"{type(value).__name__}.{value.name} has characters that may not stand in a query; use Bind"
            )
        return Expression(Fragment(f"'{value.value}'"), enum_text(type(value)))
    if isinstance(value, bool):
        return Expression(Fragment("TRUE" if value else "FALSE"), BOOLEAN)
    if type(value) is int and abs(value) < 2**63:
        sql_type = INTEGER if abs(value) < 2**31 else BIGINT
        return Expression(Fragment(str(value)), sql_type, atomic=value >= 0)
    raise TypeError(f"lit() takes a StrEnum member, a bool or an int, not {type(value).__name__}; use Bind")


def value_near(value: Any, near: SqlType[Any], where: str) -> Expression[Any]:
    """The value as an expression: itself, or bound with the type of its surroundings."""
    if isinstance(value, Expression):
        return value
    if hasattr(value, "get_sql"):
        raise TypeError(f"{where} takes a value, not a query; wrap the query in subquery()")
    near.check(value, where)
    return Expression(ValuePlaceholder(value, near), near)


def automatic(value: Any) -> Expression[Any]:
    """A Python value bound with the type that comes naturally to it; expressions as they are."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, StrEnum):
        return value_near(value, enum_text(type(value)), "a value")
    for sql_type in _NATURAL:
        if sql_type.accepts(value):
            return value_near(value, sql_type, "a value")
    raise TypeError(f"no SQL type is known for {type(value).__name__}; use Bind(name, TYPE), or null(TYPE) for None")


def _require_boolean(expression: Any, sign: str) -> None:
    if not isinstance(expression, Expression) or expression.sql_type is not BOOLEAN:
        found = expression.sql_type.name if isinstance(expression, Expression) else type(expression).__name__
        raise TypeError(
            f"{sign} joins conditions, not {found}; put comparisons in parentheses: (a == b) {sign} (c == d)"
        )


def _logic(operator: Any, left: Expression[Any], right: Expression[Any]) -> Expression[bool]:
    _require_boolean(left, "& or |")
    _require_boolean(right, "& or |")
    return condition(ComplexCriterion(operator, left.term, right.term))


def _arithmetic(operator: Any, left: Expression[Any], other: Any, *, whole: bool = False) -> Expression[Any]:
    sign = "//" if whole else operator.value
    if isinstance(other, Expression):
        right = other
    elif left.sql_type.accepts(other):
        right = value_near(other, left.sql_type, sign)
    else:
        right = automatic(other)
    result = arithmetic_type(sign, left.sql_type, right.sql_type)
    if operator is Arithmetic.div and (result is not DOUBLE) != whole:
        raise TypeError("whole numbers are divided with //, or cast to DOUBLE first; doubles are divided with /")
    return Expression(
        ArithmeticExpression(operator, operand(left), operand(right)),
        result,
        nullable=left.nullable or right.nullable,
        atomic=False,
    )
