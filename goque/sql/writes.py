"""INSERT, UPDATE and DELETE. Not for: selecting, though a SELECT may feed them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeAlias, TypeVar, overload

from pypika.dialects import PostgreSQLQueryBuilder
from pypika.terms import Field

from goque.sql.columns import Assignment, ColumnRef, Source, Table, assigned
from goque.sql.expressions import Expression
from goque.sql.printing import Refused
from goque.sql.query import Query, Row, all_of, checked_conditions, result_term

T = TypeVar("T")
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


class Builder(PostgreSQLQueryBuilder):  # type: ignore[misc]
    """PyPika's builder, which can insert only the rows of a query it builds itself."""

    source: Query[Any] | None = None

    def _values_sql(self, **kwargs: Any) -> str:
        if self.source is None:
            text: str = super()._values_sql(**kwargs)
            return text
        return " " + self.source.get_sql()


@dataclass(frozen=True)
class Write(Query[Row], Generic[Row]):
    """What the three have in common: a table, and rows they may give back."""

    table: Table | None = None
    returned: tuple[Expression[Any], ...] = ()

    @overload
    def returning(self, a: X[A], /) -> Query[tuple[A]]: ...
    @overload
    def returning(self, a: X[A], b: X[B], /) -> Query[tuple[A, B]]: ...
    @overload
    def returning(self, a: X[A], b: X[B], c: X[C], /) -> Query[tuple[A, B, C]]: ...
    @overload
    def returning(self, a: X[A], b: X[B], c: X[C], d: X[D], /) -> Query[tuple[A, B, C, D]]: ...
    @overload
    def returning(self, a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], /) -> Query[tuple[A, B, C, D, E]]: ...
    @overload
    def returning(self, a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], /) -> Query[tuple[A, B, C, D, E, F]]: ...
    @overload
    def returning(
        self, a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], /
    ) -> Query[tuple[A, B, C, D, E, F, G]]: ...
    @overload
    def returning(
        self, a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], h: X[H], /
    ) -> Query[tuple[A, B, C, D, E, F, G, H]]: ...
    @overload
    def returning(
        self, a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], h: X[H], j: X[J], /
    ) -> Query[tuple[A, B, C, D, E, F, G, H, J]]: ...
    @overload
    def returning(
        self, a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], h: X[H], j: X[J], k: X[K], /
    ) -> Query[tuple[A, B, C, D, E, F, G, H, J, K]]: ...
    @overload
    def returning(
        self, a: X[A], b: X[B], c: X[C], d: X[D], e: X[E], f: X[F], g: X[G], h: X[H], j: X[J], k: X[K], m: X[M], /
    ) -> Query[tuple[A, B, C, D, E, F, G, H, J, K, M]]: ...
    @overload
    def returning(
        self,
        a: X[A],
        b: X[B],
        c: X[C],
        d: X[D],
        e: X[E],
        f: X[F],
        g: X[G],
        h: X[H],
        j: X[J],
        k: X[K],
        m: X[M],
        n: X[N],
        /,
    ) -> Query[tuple[A, B, C, D, E, F, G, H, J, K, M, N]]: ...
    @overload
    def returning(self, *columns: X[Any]) -> Query[tuple[Any, ...]]: ...
    def returning(self, *columns: Expression[Any]) -> Any:
        """Give back these columns of every row written."""
        return replace(self, returned=columns)

    def result(self) -> tuple[Expression[Any], ...]:
        return self.returned

    def build(self) -> Any:
        builder = self.build_clauses(Builder(wrapper_cls=Refused, immutable=False))
        return builder.returning(*(result_term(column) for column in self.returned))

    def build_clauses(self, builder: Any) -> Any:
        """Add all but RETURNING to PyPika's builder."""
        raise NotImplementedError

    def _target(self) -> Table:
        assert self.table is not None
        return self.table

    def _own(self, column: ColumnRef[Any]) -> None:
        if column.table != self._target()._reference:
            raise TypeError(f"{column.table}.{column.name} is no column of {self._target()._reference}")


@dataclass(frozen=True)
class Insert(Write[Row], Generic[Row]):
    """An INSERT under construction; begin with ``insert``."""

    columns_: tuple[ColumnRef[Any], ...] = ()
    rows: tuple[tuple[Expression[Any], ...], ...] = ()
    source: Query[Any] | None = None
    conflict: Conflict | None = None

    def columns(self, *columns: ColumnRef[Any]) -> Self:
        """The columns that values or a query will fill, in this order."""
        for column in columns:
            self._own(column)
        return replace(self, columns_=columns)

    def values(self, *values: Any) -> Self:
        """One row for the columns; call again for more."""
        if len(values) != len(self.columns_):
            raise TypeError(f"values() takes {len(self.columns_)} values, one per column, not {len(values)}")
        row = tuple(assigned(column, value) for column, value in zip(self.columns_, values, strict=True))
        return replace(self, rows=(*self.rows, row))

    @overload
    def set(self, column: ColumnRef[T], value: Expression[T]) -> Self: ...
    @overload
    def set(self, column: ColumnRef[T], value: T) -> Self: ...
    def set(self, column: ColumnRef[Any], value: Any) -> Self:
        """One more column of the one row, checked as in ``update``."""
        self._own(column)
        row = self.rows[0] if self.rows else ()
        return replace(self, columns_=(*self.columns_, column), rows=((*row, assigned(column, value)),))

    def select(self, query: Query[Any]) -> Self:
        """The rows of a query for the columns."""
        result = query.result()
        if len(result) != len(self.columns_):
            raise TypeError(f"the query has {len(result)} columns for {len(self.columns_)}")
        for column, expression in zip(self.columns_, result, strict=True):
            assigned(column, expression)
        return replace(self, source=query)

    def on_conflict(self, *columns: ColumnRef[Any], where: Expression[bool] | None = None) -> OnConflict[Self]:
        """What to do about a row that is there already; ``where`` is the predicate of a partial unique index."""
        return OnConflict(self, columns, where)

    def build_clauses(self, builder: Any) -> Any:
        if not self.rows and self.source is None:
            raise TypeError("this insert has no rows; give it values(), set() or select()")
        builder.into(self._target()._pypika()).columns(*(Field(column.name) for column in self.columns_))
        if self.source is not None:
            builder.source = self.source
            builder.insert(())
        else:
            builder.insert(*(tuple(value.term for value in row) for row in self.rows))
        if self.conflict is not None:
            self.conflict.add_to(builder)
        return builder


@dataclass(frozen=True, slots=True)
class Conflict:
    """ON CONFLICT with its action; no assignments means DO NOTHING."""

    columns: tuple[ColumnRef[Any], ...]
    index_condition: Expression[bool] | None
    assignments: tuple[Assignment, ...]
    conditions: tuple[Expression[Any], ...]

    def add_to(self, builder: Any) -> None:
        """Print it through PyPika, whose where() means a different clause at each point."""
        builder.on_conflict(*(Field(column.name) for column in self.columns))
        if self.index_condition is not None:
            builder.where(self.index_condition.term)
        if not self.assignments:
            builder.do_nothing()
        for assignment in self.assignments:
            builder.do_update(Field(assignment.column.name), assignment.value.term)
        if self.conditions:
            builder.where(all_of(self.conditions))


InsertT = TypeVar("InsertT", bound=Insert[Any])


@dataclass(frozen=True, slots=True)
class OnConflict(Generic[InsertT]):
    """An insert that waits to hear what to do about conflicts."""

    insert: InsertT
    columns: tuple[ColumnRef[Any], ...]
    where: Expression[bool] | None

    def do_nothing(self) -> InsertT:
        """Leave the row that is there."""
        return replace(self.insert, conflict=Conflict(self.columns, self.where, (), ()))

    def do_update(self, *assignments: Assignment, where: Expression[bool | None] | None = None) -> InsertT:
        """Change the row that is there: ``TABLE.column.to(value)``; ``excluded(TABLE)`` is the new one."""
        if not assignments or not self.columns:
            raise TypeError("do_update() needs the columns of the conflict and at least one column.to(value)")
        conditions = () if where is None else checked_conditions((where,))
        return replace(self.insert, conflict=Conflict(self.columns, self.where, assignments, conditions))


@dataclass(frozen=True)
class Update(Write[Row], Generic[Row]):
    """An UPDATE under construction; begin with ``update``."""

    assignments: tuple[Assignment, ...] = ()
    sources: tuple[Source, ...] = ()
    conditions: tuple[Expression[Any], ...] = ()

    @overload
    def set(self, column: ColumnRef[T], value: Expression[T]) -> Self: ...
    @overload
    def set(self, column: ColumnRef[T], value: T) -> Self: ...
    def set(self, column: ColumnRef[Any], value: Any) -> Self:
        """This column gets this value; None writes null."""
        self._own(column)
        return replace(self, assignments=(*self.assignments, Assignment(column, value)))

    def from_(self, *sources: Source) -> Self:
        """Read from these as well."""
        return replace(self, sources=(*self.sources, *sources))

    def where(self, *conditions: Expression[bool | None]) -> Self:
        """Only rows for which all conditions hold; calls add up."""
        return replace(self, conditions=self.conditions + checked_conditions(conditions))

    def build_clauses(self, builder: Any) -> Any:
        if not self.assignments:
            raise TypeError("this update sets nothing; give it set()")
        builder.update(self._target()._pypika())
        for assignment in self.assignments:
            builder.set(Field(assignment.column.name), assignment.value.term)
        for source in self.sources:
            builder.from_(source._from())
        return builder.where(all_of(self.conditions)) if self.conditions else builder


@dataclass(frozen=True)
class Delete(Write[Row], Generic[Row]):
    """A DELETE under construction; begin with ``delete``."""

    sources: tuple[Source, ...] = ()
    conditions: tuple[Expression[Any], ...] = ()

    def using(self, *sources: Source) -> Self:
        """Read from these as well."""
        return replace(self, sources=(*self.sources, *sources))

    def where(self, *conditions: Expression[bool | None]) -> Self:
        """Only rows for which all conditions hold; calls add up."""
        return replace(self, conditions=self.conditions + checked_conditions(conditions))

    def build_clauses(self, builder: Any) -> Any:
        builder.from_(self._target()._from()).delete()
        for source in self.sources:
            builder.using(source._from())
        return builder.where(all_of(self.conditions)) if self.conditions else builder


def insert(table: Table) -> Insert[Any]:
    """Begin to insert into a table."""
    if table._alias is not None:
        raise TypeError("an insert takes the table itself, without another name")
    return Insert(table=table)


def update(table: Table) -> Update[Any]:
    """Begin to update a table."""
    return Update(table=table)


def delete(table: Table) -> Delete[Any]:
    """Begin to delete from a table."""
    return Delete(table=table)
