"""Database roles with the least rights: each may do what its statements do. Not for: making them (``migrations``).

Rights are not listed a second time. Which columns a statement reads, fills and changes is read from its text, which
this package has printed: a new statement brings the rights it needs to the roles that have it. What comes of it is kept
with the golden SQL, where a change is seen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

from goque.errors import InvalidInput
from goque.sql import (
    BOOLEAN,
    BYTEA,
    TEXT,
    Bind,
    Query,
    Statement,
    array,
    case,
    columns_of,
    function,
    lit,
    quoted_schema,
    select,
    tables,
    template,
    unnest,
    views,
)
from goque.sql.columns import Table
from goque.sql.printing import SCHEMA
from goque.sql.statement import Template

READ, SUBMIT, WORK, OPERATE = "read", "submit", "work", "operate"
ROLES = (READ, SUBMIT, WORK, OPERATE)

STATEMENTS = {
    READ: "depth diagnosis eligibility glance looking moments roles settings.setting lanes.batch_lanes reading.age "
    "reading.batch_by_id reading.batch_by_name reading.last_batch reading.counts reading.counts_of reading.task "
    "reading.last_run reading.matching",
    SUBMIT: "enqueue duplicates transactions outcomes lanes reading settings.setting settings.note types.declared "
    "programs.put_function programs.shared_lane programs.batch_lane objects.put objects.put_part objects.touch "
    "objects.find objects.part objects.keep objects.named objects.name objects.unkeep objects.needed_by",
    WORK: "claim finish handback reports workers upkeep spawning programs types outcomes.tell_watchers enqueue.wake "
    "transactions.wait_at_most enqueue.task_ids duplicates.share cancel.cancel_lane cancel.expire schedules.due "
    "schedules.fire schedules.next_due deployments.take_turn deployments.see deployments.put deployments.retire "
    "deployments.is_newest objects.find objects.part objects.forget_unused cleaning deleting retention.shortest",
    OPERATE: "cancel retry pause transactions duplicates.share lanes.batch_lanes lanes.lane_options "
    "lanes.unfinished_lanes programs.batch_lane schedules.names schedules.set_paused deployments.take_turn "
    "deployments.forget cleaning deleting retention objects.forget_unused",
}
"""What each role may run: all statements of a module, or one. READ's may be run by all, and give nobody a right."""
HIDDEN = ("source", "payload", "args_repr")
"""What READ is not shown, besides everything in bytes: code, arguments and results."""
LOCKED = {
    "batch": "changed_at",
    "claim": "number",
    "function": "last_used_at",
    "lane": "last_used_at",
    "object": "last_used_at",
    "tally": "lane_id",
    "worker": "beat_at",
}
"""Rows that are locked before they are deleted, for which PostgreSQL asks the right to update some column."""

_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,50}")
_WORDS = re.compile(
    rf"""
      INSERT\ INTO\ "{SCHEMA}"\."(?P<insert>\w+)"\ \((?P<filled>[^)]*)\)
    | (?P<verb>UPDATE|DELETE\ FROM)\ "{SCHEMA}"\."(?P<target>\w+)"
    | ON\ CONFLICT\ \((?P<arbiter>[^)]*)\)
    | "{SCHEMA}"\."(?P<table>\w+)"
    | "(?P<of>\w+)"\."(?P<column>\w+)"
    | "(?P<assigned>\w+)"=
    """,
    re.VERBOSE,
)


class Right(NamedTuple):
    """What a role may do with a column of a table; of all columns, or a sequence, where there is none."""

    on: str
    what: str
    column: str = ""


def rights_of(text: str) -> Iterator[Right]:
    """What a statement needs, of its printed text."""
    source = {alias: table for table, alias in re.findall(rf'"{SCHEMA}"\."(\w+)" "(\w+)"', text)}
    target = ""
    for found in _WORDS.finditer(text):
        word = found.groupdict("")
        if word["insert"]:
            target = word["insert"]
            yield from (Right(target, "INSERT", column) for column in re.findall(r"\w+", word["filled"]))
        elif word["target"]:
            target = word["target"]
            if word["verb"] != "UPDATE":
                yield Right(target, "DELETE")
                if target in LOCKED:
                    yield Right(target, "UPDATE", LOCKED[target])
        elif word["arbiter"]:
            yield from (Right(target, "SELECT", column) for column in re.findall(r"\w+", word["arbiter"]))
        elif word["table"]:
            if word["table"] not in _COLUMNS:
                yield Right(word["table"], "USAGE")
        elif word["column"]:
            table = target if word["of"] == "excluded" else source.get(word["of"], word["of"])
            if word["column"] in _COLUMNS.get(table, ()):
                yield Right(table, "SELECT", word["column"])
        elif word["assigned"]:
            yield Right(target, "UPDATE", word["assigned"])


def rights(role: str) -> set[Right]:
    """All that a role may do with tables, views and sequences."""
    seen = {
        Right(table, "SELECT", name)
        for table, columns in _COLUMNS.items()
        for name, in_bytes in columns.items()
        if role == SUBMIT or not (in_bytes or name in HIDDEN)
    }
    if role == READ:
        return seen
    return seen.union(*(rights_of(statement.text) for statement in statements(role)))


def statements(role: str) -> list[Template[Any]]:
    """The statements of a role, without those that all have."""
    found = []
    for word in STATEMENTS[role].split():
        module = word.partition(".")[0]
        inside = vars(import_module(f"goque.queries.{module}")).values()
        own = [one for one in inside if isinstance(one, Template) and one.name.startswith(f"{module}.")]
        found += [one for one in own if word in (module, one.name)]
    return found


def script(schema: str, prefix: str) -> str:
    """SQL that makes the roles where they are missing, and gives each its rights and no others. It may be repeated."""
    made = names(prefix)
    every = ", ".join(f'"{name}"' for name in made)
    place = quoted_schema(schema)
    lines: list[str] = []
    lines += [
        f"DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{name}') "
        f'THEN CREATE ROLE "{name}" NOLOGIN; END IF; END$$;'
        for name in made
    ]
    lines += [f"REVOKE ALL ON ALL {what} IN SCHEMA {place} FROM {every};" for what in ("TABLES", "SEQUENCES")]
    lines += [f"GRANT USAGE ON SCHEMA {place} TO {every};", f'GRANT SELECT ON {place}."migration" TO {every};']
    for role, name in zip(ROLES, made, strict=True):
        lines += [f'GRANT {what} {place}."{on}" TO "{name}";' for what, on in _grants(rights(role))]
    return "\n".join([*lines, ""])


def _grants(wanted: Iterable[Right]) -> Iterator[tuple[str, str]]:
    """Rights on the columns of a table in one line, with ON."""
    together: dict[tuple[str, str], list[str]] = defaultdict(list)
    for right in sorted(wanted):
        together[right.on, right.what].append(right.column)
    for (on, what), columns in together.items():
        listed = "" if columns == [""] else f" ({', '.join(columns)})"
        yield f"{what}{listed} ON{' SEQUENCE' if what == 'USAGE' else ''}", on


def names(prefix: str) -> list[str]:
    """The names of ``ROLES`` in the server, whose databases share them.

    Raises:
        InvalidInput: such a prefix would need quotes.
    """
    if not _ROLE.fullmatch(prefix):
        raise InvalidInput(f"a prefix of roles has lower case letters, digits and underscores, got {prefix!r}")
    return [f"{prefix}_{role}" for role in ROLES]


@template(read=tuple)
def _standing() -> Query[Any]:
    wanted = unnest("wanted", name=Bind("names", array(TEXT)))
    exists = function("to_regrole", TEXT, wanted.name, nullable=True).is_not_null()
    held = function("pg_has_role", BOOLEAN, wanted.name, Bind("usage", TEXT))
    return select(wanted.name, exists.as_("is_there"), case((exists, held), else_=lit(False)).as_("held")).from_(wanted)


def standing(prefix: str) -> Statement[tuple[str, bool, bool]]:
    """Each role: its name, whether the server has it, and whether this session may act as it."""
    return _standing.bind(names=names(prefix), usage="USAGE")


@template(read=tuple)
def _lacking() -> Query[Any]:
    wanted = unnest(
        "wanted",
        name=Bind("names", array(TEXT)),
        table_name=Bind("tables", array(TEXT)),
        column_name=Bind("columns", array(TEXT)),
        what=Bind("whats", array(TEXT)),
    )
    exists = function("to_regrole", TEXT, wanted.name, nullable=True).is_not_null()
    may = function("has_column_privilege", BOOLEAN, wanted.name, wanted.table_name, wanted.column_name, wanted.what)
    return (
        select(wanted.name, wanted.table_name, wanted.column_name, wanted.what)
        .from_(wanted)
        .where(case((exists, ~may), else_=lit(False)))
    )


def lacking(schema: str, prefix: str) -> Statement[tuple[str, str, str, str]]:
    """Rights that roles lack since a later version: role, table, column, right. Of roles that are not there, none."""
    of = zip(ROLES, names(prefix), strict=True)
    wanted = [(name, right) for role, name in of for right in sorted(rights(role)) if right.column]
    return _lacking.bind(
        names=[name for name, _ in wanted],
        tables=[f'{quoted_schema(schema)}."{right.on}"' for _, right in wanted],
        columns=[right.column for _, right in wanted],
        whats=[right.what for _, right in wanted],
    )


def _declared() -> Iterator[Table]:
    for module in (tables, views):
        yield from (value for value in vars(module).values() if isinstance(value, Table))


_COLUMNS = {
    table._table: {column.name: column.sql_type is BYTEA for column in columns_of(table)} for table in _declared()
}
"""The columns of each table and view, and whether they hold bytes."""
