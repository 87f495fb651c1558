"""Connection strings are read as libpq reads them, and never shown with a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from goque.errors import InvalidInput
from goque.postgres.addresses import has_password, parameters, place, safe_dsn


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://me:secret@host:6432/db", "postgresql://me@host:6432/db"),
        ("host=a port=5 dbname=d user=u password='se cret'", "postgresql://u@a:5/d"),
        ("postgresql://me:p%40ss@/db?host=/run/x", "postgresql://me@/db?host=/run/x"),
        ("postgresql://me:x@a,b:2/db?sslpassword=hush", "postgresql://me@/db?host=a,b&port=,2"),
        ("postgresql://host/db?sslmode=require", "postgresql://host/db?sslmode=require"),
        ("service=mine", "postgresql:///?service=mine"),
        ("postgresql://me:secret@[bad", "postgresql://(unreadable DSN)"),
        ("", "postgresql:///"),
    ],
)
def test_a_safe_dsn_names_the_place(dsn: str, expected: str) -> None:
    assert safe_dsn(dsn) == expected


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1))
def test_no_password_survives(password: str) -> None:
    marked = f"<<{password}>>"
    dsn = make_conninfo(host="h", user="u", dbname="d", password=marked)
    assert has_password(dsn)
    assert safe_dsn(dsn) == "postgresql://u@h/d"
    assert marked not in place(dsn)


def test_a_safe_dsn_still_connects_to_the_same_place() -> None:
    dsn = "host=/run/my,dir dbname='a b' user=u@x port=7"
    assert parameters(safe_dsn(dsn)) == parameters(dsn)


def test_an_unreadable_dsn_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as caught:
        parameters("postgresql://me:secret@[bad")
    assert "secret" not in str(caught.value)
    assert not has_password("postgresql://me@host/db")


def test_the_place_knows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "far")
    monkeypatch.setenv("PGPORT", "9")
    assert place("dbname=d") == "far:9/d"
    assert place("service=mine") == "service mine"
