"""SELECT and UNION. Not for: its expressions, or queries that write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar, overload

from pypika.dialects import PostgreSQLQueryBuilder
from pypika.enums import JoinType
from pypika.queries import Join, JoinOn

from goque.sql.columns import Derived, Source
from goque.sql.expressions import Expression, Ordering, lit
from goque.sql.printing import Fragment, Refused, quoted
from goque.sql.query import Query, Row, all_of, checked_conditions, result_term
from goque.sql.types import BIGINT

# The columns of a row, for the overloads of select() and returning().
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")
J = TypeVar("J")
K = TypeVar("K")
M = TypeVar("M")
N = TypeVar("N")
X: TypeAlias = Expression  # a short word, so that an overload fits a line

Limit: TypeAlias = int | Expression[int] | None


@dataclass(frozen=True)
class Select(Query[Row], Generic[Row]):
    """A SELECT under construction; begin with ``select``."""

    columns: tuple[Expression[Any], ...] = ()
    sources: tuple[Any, ...] = ()
    joins: tuple[Any, ...] = ()
    conditions: tuple[Expression[Any], ...] = ()
    groups: tuple[Any, ...] = ()
    group_conditions: tuple[Expression[Any], ...] = ()
    orders: tuple[Any, ...] = ()
    distinct_rows: bool = False
    distinct_columns: tuple[Any, ...] = ()
    limit_term: Any = None
    offset_term: Any = None
    lock: dict[str, Any] | None = None
    shares: bool = False

    def from_(self, *sources: Source) -> Self:
        """Read from these; several are combined, every row with every row."""
        return replace(self, sources=(*self.sources, *(source._from() for source in sources)))

    def join(self, source: Source, on: Expression[bool | None]) -> Self:
        """Combine with the rows for which the condition holds."""
        return self._joined(JoinOn(source._from(), JoinType.inner, all_of(checked_conditions((on,)))))

    def left_join(self, source: Source, on: Expression[bool | None]) -> Self:
        """The same, and keep rows that found none; select its columns as ``optional(column)``."""
        return self._joined(JoinOn(source._from(), JoinType.left, all_of(checked_conditions((on,)))))

    def cross_join(self, source: Source) -> Self:
        """Combine every row with every row."""
        return self._joined(Join(source._from(), JoinType.cross))

    def cross_join_lateral(self, rows: Derived) -> Self:
        """Run the inner query for every row so far; rows for which it gives none are left out."""
        return self._joined(Join(lateral(rows)._from(), JoinType.cross))

    def left_join_lateral(self, rows: Derived) -> Self:
        """Run the inner query for every row so far, and keep rows for which it gives none."""
        return self._joined(JoinOn(lateral(rows)._from(), JoinType.left, lit(True).term))

    def where(self, *conditions: Expression[bool | None]) -> Self:
        """Only rows for which all conditions hold; calls add up."""
        return replace(self, conditions=self.conditions + checked_conditions(conditions))

    def group_by(self, *expressions: Expression[Any] | int) -> Self:
        """One row per combination; a number is the position of a selected column."""
        return replace(self, groups=(*self.groups, *(_by_position(item) for item in expressions)))

    def having(self, *conditions: Expression[bool | None]) -> Self:
        """Only groups for which all conditions hold."""
        return replace(self, group_conditions=self.group_conditions + checked_conditions(conditions))

    def order_by(self, *expressions: Expression[Any] | Ordering | int) -> Self:
        """In this order; a number is the position of a selected column."""
        return replace(self, orders=(*self.orders, *(_by_position(item) for item in expressions)))

    def limit(self, number: Limit) -> Self:
        """At most so many rows; None for all."""
        return replace(self, limit_term=_row_count(number, "limit()"))

    def offset(self, number: Limit) -> Self:
        """Leave out so many rows first."""
        return replace(self, offset_term=_row_count(number, "offset()"))

    def distinct(self) -> Self:
        """Each row once."""
        return replace(self, distinct_rows=True)

    def distinct_on(self, *expressions: Expression[Any]) -> Self:
        """The first row of each combination, in the order of ``order_by``."""
        return replace(self, distinct_columns=tuple(item.term for item in expressions))

    def for_update(self, *, skip_locked: bool = False, nowait: bool = False, of: Source | None = None) -> Self:
        """Lock the rows; leave out, or fail at, those that others hold. ``of`` names the one source to lock."""
        tables = () if of is None else (of._reference,)
        return replace(self, lock={"skip_locked": skip_locked, "nowait": nowait, "of": tables})

    def for_key_share(self, *, of: Source | None = None) -> Self:
        """Keep the rows from being deleted until the transaction ends; who updates them is not hindered."""
        return replace(self.for_update(of=of), shares=True)

    def union_all(self, other: Select[Row]) -> Compound[Row]:
        """These rows and those."""
        return Compound(parts=(self, other))

    def result(self) -> tuple[Expression[Any], ...]:
        return self.columns

    def build(self) -> Any:
        builder = (_Sharing if self.shares else PostgreSQLQueryBuilder)(wrapper_cls=Refused, immutable=False)
        for source in self.sources:
            builder.from_(source)
        builder.select(*(result_term(column) for column in self.columns))
        for join in self.joins:
            builder.do_join(join)
        if self.conditions:
            builder.where(all_of(self.conditions))
        builder.groupby(*self.groups)
        if self.group_conditions:
            builder.having(all_of(self.group_conditions))
        builder.orderby(*self.orders)
        if self.distinct_rows:
            builder.distinct()
        if self.distinct_columns:
            builder.distinct_on(*self.distinct_columns)
        builder.limit(self.limit_term)
        builder.offset(self.offset_term)
        if self.lock is not None:
            builder.for_update(**self.lock)
        return builder

    def _joined(self, join: Any) -> Self:
        return replace(self, joins=(*self.joins, join))


class _Sharing(PostgreSQLQueryBuilder):  # type: ignore[misc]
    """PyPika knows one kind of lock."""

    def _for_update_sql(self, **kwargs: Any) -> str:
        return str(super()._for_update_sql(**kwargs)).replace("FOR UPDATE", "FOR KEY SHARE")


@dataclass(frozen=True)
class Compound(Query[Row], Generic[Row]):
    """The rows of several selects, which have the same columns."""

    parts: tuple[Select[Any], ...] = ()
    operation: Literal["union_all", "union"] = "union_all"
    orders: tuple[Any, ...] = ()
    limit_term: Any = None

    def union_all(self, other: Select[Row]) -> Self:
        """And those."""
        return replace(self, parts=(*self.parts, other))

    def order_by(self, *names: str | int) -> Self:
        """In the order of these columns of the result, by name or position."""
        terms = (Fragment(quoted(item)) if isinstance(item, str) else _by_position(item) for item in names)
        return replace(self, orders=(*self.orders, *terms))

    def limit(self, number: Limit) -> Self:
        """At most so many rows."""
        return replace(self, limit_term=_row_count(number, "limit()"))

    def result(self) -> tuple[Expression[Any], ...]:
        return self.parts[0].result()

    def build(self) -> Any:
        first, *others = self.parts
        for part in self.parts:
            if part.ctes:
                raise TypeError("put with_() on the whole union, not on a part of it")
            for left, right in zip(first.result(), part.result(), strict=True):
                if not left.sql_type.fits(right.sql_type):
                    raise TypeError(
                        f"column {left.label} is {left.sql_type.name} in one part and {right.sql_type.name} in another"
                    )
        whole = first.build()
        for part in others:
            whole = getattr(whole, self.operation)(part.build())
        return whole.orderby(*self.orders).limit(self.limit_term)


class Lateral(Source):
    """Rows of a query that may use the columns of what stands before it in FROM."""

    def __init__(self, rows: Derived) -> None:
        self._rows = rows
        self._reference = rows._reference

    def _columns(self) -> Any:
        return self._rows._columns()

    def _from(self) -> Any:
        return Fragment("LATERAL ", self._rows._from())


def lateral(rows: Derived) -> Lateral:
    """For ``from_`` and ``using``, where there is no join to say it."""
    return Lateral(rows)


@overload
def select(a: X[A], /) -> Select[tuple[A]]: ...
@overload
def select(a: X[A], b: X[B], /) -> Select[tuple[A, B]]: ...
@overload
def select(a: X[A], b: X[B], c: X[C], /) -> Select[tuple[A, B, C]]: ...
@overload
def select(a: X[A], b: X[B], c: X[C], d: X[D], /) -> Select[tuple[A, B, C, D]]: ...
@overload
def select(a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], /) -> Select[tuple[A, B, C, D, E]]: ...
@overload
def select(a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], /) -> Select[tuple[A, B, C, D, E, F]]: ...
@overload
def select(a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], /) -> Select[tuple[A, B, C, D, E, F, G]]: ...
@overload
def select(
    a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], h: X[H], /
) -> Select[tuple[A, B, C, D, E, F, G, H]]: ...
@overload
def select(
    a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], h: X[H], j: X[J], /
) -> Select[tuple[A, B, C, D, E, F, G, H, J]]: ...
@overload
def select(
    a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], h: X[H], j: X[J], k: X[K], /
) -> Select[tuple[A, B, C, D, E, F, G, H, J, K]]: ...
@overload
def select(
    a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], h: X[H], j: X[J], k: X[K], m: X[M], /
) -> Select[tuple[A, B, C, D, E, F, G, H, J, K, M]]: ...
@overload
def select(
    a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], h: X[H], j: X[J], k: X[K], m: X[M], n: X[N], /
) -> Select[tuple[A, B, C, D, E, F, G, H, J, K, M, N]]: ...
@overload
def select(*columns: X[Any]) -> Select[tuple[Any, ...]]: ...
def select(*columns: Expression[Any]) -> Any:
    """Begin a query for these columns. More than twelve are not typed one by one."""
    if not columns:
        raise TypeError("select() takes at least one column")
    for column in columns:
        if not isinstance(column, Expression):
            raise TypeError(f"select() takes columns and expressions, not {type(column).__name__}; use lit() or Bind")
    return Select(columns=columns)


def _by_position(item: Expression[Any] | Ordering | int) -> Any:
    if isinstance(item, int):
        return Fragment(str(int(item)))
    return item.term


def _row_count(number: Limit, where: str) -> Any:
    if number is None or isinstance(number, Expression):
        return None if number is None else number.term
    BIGINT.check(number, where)
    return Fragment(str(int(number)))
