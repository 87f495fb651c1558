"""Facts about a database, by name. Not for: what users set for a process (``goque.settings``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goque.sql import (
    JSONB,
    TEXT,
    Bind,
    Query,
    Statement,
    excluded,
    insert,
    scalar,
    select,
    template,
)
from goque.sql.tables import SETTING


@template(read=scalar)
def _setting() -> Query[Any]:
    return select(SETTING.value).from_(SETTING).where(SETTING.name == Bind("name", TEXT))


def setting(name: str) -> Statement[Any]:
    """A fact about this database; no row when it was never set."""
    return _setting.bind(name=name)


@template(read=scalar)
def _set() -> Query[Any]:
    return (
        insert(SETTING)
        .columns(SETTING.name, SETTING.value)
        .values(Bind("name", TEXT), Bind("value", JSONB))
        .on_conflict(SETTING.name)
        .do_update(SETTING.value.to(excluded(SETTING).value))
        .returning(SETTING.name)
    )


def set_setting(name: str, value: Mapping[str, Any]) -> Statement[str]:
    """Set a fact about this database."""
    return _set.bind(name=name, value=dict(value))


@template(read=scalar)
def _note() -> Query[Any]:
    return (
        insert(SETTING)
        .columns(SETTING.name, SETTING.value)
        .values(Bind("name", TEXT), Bind("value", JSONB))
        .on_conflict(SETTING.name)
        .do_nothing()
        .returning(SETTING.name)
    )


def note(name: str, value: Mapping[str, Any]) -> Statement[str]:
    """Set a fact that is never changed again: who may note it need not be able to take it back."""
    return _note.bind(name=name, value=dict(value))
