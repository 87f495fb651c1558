"""What the four kinds of query share: WITH, and being rows for another query. Not for: their own clauses.

PyPika knows neither MATERIALIZED nor RECURSIVE nor LATERAL; those are printed here and in select.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Generic, Self, TypeVar

from goque.sql.columns import ColumnRef, Derived, source_name
from goque.sql.expressions import Aliased, Expression
from goque.sql.printing import Fragment, quoted
from goque.sql.types import BOOLEAN, SqlType

Row = TypeVar("Row", covariant=True)


@dataclass(frozen=True)
class Query(Generic[Row]):
    """A query under construction. Every method gives a new one; ``Row`` is what one of its rows is."""

    ctes: tuple[Cte, ...] = ()

    def result(self) -> tuple[Expression[Any], ...]:
        """The columns of its rows."""
        raise NotImplementedError

    def build(self) -> Any:
        """PyPika's builder for all but the WITH clause."""
        raise NotImplementedError

    def with_(self, *ctes: Cte) -> Self:
        """Put named queries in front; their order is the order of printing."""
        return replace(self, ctes=(*self.ctes, *ctes))

    def cte(self, name: str, *, materialized: bool | None = None) -> Cte:
        """This query under a name, for ``with_`` and ``from_``. True fences it from the planner, False inlines it."""
        return Cte(name, self, materialized)

    def sub(self, name: str) -> Derived:
        """This query as rows in FROM or in a join."""
        return Derived(name, result_columns(self), self)

    def get_sql(self, **_: Any) -> str:
        """The text; the name and the signature are PyPika's, so that a query can stand inside its terms."""
        text: str = self.build().get_sql()
        if not self.ctes:
            return text
        recursive = "RECURSIVE " if any(cte._recursive for cte in self.ctes) else ""
        return f"WITH {recursive}" + ",\n".join(cte._definition() for cte in self.ctes) + f"\n{text}"


class Cte(Derived):
    """A named query in a WITH clause."""

    def __init__(
        self,
        name: str,
        query: Query[Any],
        materialized: bool | None = None,
        *,
        recursive: bool = False,
        alias: str = "",
    ) -> None:
        super().__init__(alias or name, result_columns(query), query)
        self._name = source_name(name)
        self._materialized = materialized
        self._recursive = recursive

    def as_(self, alias: str) -> Cte:
        """The same rows under another name, for a query that reads them twice."""
        return Cte(self._name, self._body, self._materialized, recursive=self._recursive, alias=alias)

    def _definition(self) -> str:
        fence = {None: "", True: "MATERIALIZED ", False: "NOT MATERIALIZED "}[self._materialized]
        columns = f"({','.join(quoted(name) for name in self._refs)})" if self._recursive else ""
        return f"{quoted(self._name)}{columns} AS {fence}({self._body.get_sql()})"

    def _from(self) -> Any:
        self._require_columns()
        return Fragment(quoted(self._name) + ("" if self._reference == self._name else f" {quoted(self._reference)}"))


def recursive(name: str, first: Query[Any], step: Callable[[Cte], Query[Any]], *, distinct: bool = False) -> Cte:
    """A query that reads its own last rows: ``first`` UNION ALL ``step(rows)``, until a step gives no row."""
    from goque.sql.select import Compound, Select

    rest = step(Cte(name, first, recursive=True))
    if not (isinstance(first, Select) and isinstance(rest, Select)):
        raise TypeError("recursive() takes two select queries")
    whole: Compound[Any] = Compound(parts=(first, rest), operation="union" if distinct else "union_all")
    return Cte(name, whole, recursive=True)


def result_columns(query: Query[Any]) -> dict[str, tuple[SqlType[Any], bool]]:
    """Name, type and nullability of each column; every one needs a name of its own."""
    columns: dict[str, tuple[SqlType[Any], bool]] = {}
    for position, expression in enumerate(query.result(), 1):
        if expression.label is None:
            raise TypeError(f"column {position} has no name; give it one with .as_(name)")
        if expression.label in columns:
            raise TypeError(f"two columns are called {expression.label}; rename one with .as_(name)")
        columns[expression.label] = (expression.sql_type, expression.nullable)
    return columns


def result_term(expression: Expression[Any]) -> Any:
    """The expression as it stands in SELECT or RETURNING, with its name where PostgreSQL would choose another."""
    named = isinstance(expression, Aliased) or not isinstance(expression, ColumnRef)
    return Fragment(expression.term, alias=expression.label if named else None)


def checked_conditions(conditions: tuple[Any, ...]) -> tuple[Expression[Any], ...]:
    """The conditions, if they all are; ``a == b`` with a wrong ``a`` is a plain bool."""
    for item in conditions:
        if not isinstance(item, Expression) or item.sql_type is not BOOLEAN:
            found = item.sql_type.name if isinstance(item, Expression) else type(item).__name__
            raise TypeError(f"where() and its like take conditions, not {found}")
    return conditions


def all_of(conditions: tuple[Expression[Any], ...]) -> Any:
    """The term of all conditions joined with AND."""
    return reduce(lambda left, right: left & right, conditions).term
