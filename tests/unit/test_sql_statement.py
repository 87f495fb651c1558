"""Templates, statements, the schema's name, and that no value ever reaches the text."""

from __future__ import annotations

import threading
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque.errors import InvalidInput
from goque.sql import (
    BIGINT,
    BYTEA,
    INTEGER,
    TEXT,
    Bind,
    Column,
    Query,
    Select,
    Table,
    Template,
    all_templates,
    array,
    delete,
    enum_text,
    excluded,
    insert,
    lit,
    qualify,
    recursive,
    scalar,
    select,
    statement_of,
    subquery,
    template,
    unnest,
    update,
)


class Status(StrEnum):
    NEW = "new"
    DONE = "done"


class TaskTable(Table):
    id = Column(BIGINT)
    status = Column(enum_text(Status))
    type = Column(TEXT)
    args = Column(BYTEA, nullable=True)
    previous = Column(array(enum_text(Status)))


TASK = TaskTable("task")


@dataclass(frozen=True)
class Found:
    id: int
    status: Status


class Pair(NamedTuple):
    id: int
    type: str


@template(read=Found)
def _find() -> Select[tuple[int, Status]]:
    """Find tasks."""
    return (
        select(TASK.id, TASK.status)
        .from_(TASK)
        .where(TASK.id == Bind("id", BIGINT), TASK.type == Bind("type", TEXT, nullable=True), TASK.id > 7)
    )


def test_a_template_binds_values_by_name() -> None:
    statement = _find.bind(id=1, type="a")
    assert statement.values == {"id": 1, "type": "a", "p1": 7}
    assert statement.text == _find.text
    assert statement.name == "test_sql_statement.find"
    assert statement.read((1, "new")) == Found(1, Status.NEW)
    assert _find.parameters == {"id": BIGINT, "type": TEXT}
    assert [(name, nullable) for name, _, nullable in _find.columns] == [("id", False), ("status", False)]
    assert _find in all_templates()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id": 1}, "missing type, unknown nothing"),
        ({"id": 1, "type": "a", "lane": 2}, "missing nothing, unknown lane"),
        ({"id": 1, "type": "a", "p1": 2}, "unknown p1"),
        ({"id": "secret", "type": "a"}, "find: id takes int, not str"),
        ({"id": None, "type": None}, "id takes int, not NoneType"),
    ],
)
def test_a_template_refuses_wrong_names_and_types(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        _find.bind(**values)
    assert "secret" not in str(caught.value)


def test_a_nullable_bind_takes_none() -> None:
    assert _find.bind(id=1, type=None).values["type"] is None


def test_values_do_not_show_in_a_repr() -> None:
    assert "secret" not in repr(_find.bind(id=1, type="secret"))


def test_a_row_is_read_as_it_was_asked_for() -> None:
    query = select(TASK.id, TASK.type).from_(TASK)
    assert statement_of(query).read((1, "a")) == (1, "a")
    assert statement_of(query, read=Pair._make).read((1, "a")) == Pair(1, "a")
    assert statement_of(select(TASK.id).from_(TASK), read=scalar).read((1,)) == 1


def test_enum_columns_give_members_also_in_arrays_and_with_null() -> None:
    read: Callable[[Any], Any] = statement_of(select(TASK.status, TASK.previous).from_(TASK)).read
    status, previous = read(("done", ["new", None]))
    assert status is Status.DONE
    assert previous[0] is Status.NEW
    assert previous[1] is None
    assert read((None, None)) == (None, None)


def test_the_builder_of_a_template_runs_once_whatever_the_threads() -> None:
    calls: list[int] = []
    ready = threading.Barrier(8)

    def build() -> Query[Any]:
        calls.append(1)
        return select(TASK.id).from_(TASK)

    made = Template(build, tuple)

    def use() -> None:
        ready.wait()
        assert made.bind().text.startswith("SELECT")

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_one_name_has_one_type_in_a_query() -> None:
    query = select(TASK.id).from_(TASK).where(TASK.id == Bind("x", BIGINT), TASK.type == Bind("x", TEXT))
    with pytest.raises(TypeError, match="bind x is both bigint and text"):
        statement_of(query, values={"x": 1})


def test_the_same_value_object_is_bound_once_and_others_apart() -> None:
    shared = TASK.id + 5
    statement = statement_of(select(shared.as_("a")).from_(TASK).where(shared > 6).group_by(shared))
    assert statement.values == {"p1": 5, "p2": 6}
    assert statement.text.count("%(p1)s") == 3


def test_the_schema_is_replaced_everywhere_and_nowhere_else() -> None:
    text = qualify(_find.text, "my-queue")
    assert '"my-queue"."task"' in text
    assert "goque" not in text
    assert qualify(_find.text, "goque") == _find.text


@pytest.mark.parametrize("schema", ["", 'a"b', "a'b", "a%b", "a\\b", "a\0b", "a" * 64])
def test_a_schema_that_needs_an_escape_is_refused(schema: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be the schema"):
        qualify(_find.text, schema)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: select(TASK.id, TASK.id).from_(TASK).sub("t"), "two columns are called id"),
        (lambda: select(TASK.id + lit(1)).from_(TASK).cte("t"), "has no name"),
        (lambda: statement_of(select(lit(1).as_("n")).from_(delete(TASK).cte("d"))), "no rows to read from"),
        (lambda: statement_of(insert(TASK).columns(TASK.id)), "has no rows"),
        (lambda: statement_of(update(TASK)), "sets nothing"),
        (lambda: insert(TASK.as_("t")), "the table itself"),
        (lambda: insert(TASK).columns(TASK.id, TASK.type).values(1), "takes 2 values"),
        (lambda: insert(TASK).columns(TASK.id).select(select(TASK.type).from_(TASK)), "cannot hold text"),
        (lambda: insert(TASK).columns(TASK.id).on_conflict().do_update(TASK.id.to(1)), "needs the columns"),
        (lambda: TASK.id.to("x"), "takes int"),  # type: ignore[call-overload]
        (lambda: subquery(select(TASK.id, TASK.type)), "one column"),  # type: ignore[arg-type]
        (
            lambda: statement_of(select(TASK.id).from_(TASK).union_all(select(TASK.type).from_(TASK))),  # type: ignore[arg-type]
            "bigint in one part and text in another",
        ),
        (lambda: recursive("r", delete(TASK).returning(TASK.id), lambda r: select(r.id).from_(r)), "two select"),
    ],
)
def test_a_query_that_cannot_be_is_refused_with_the_reason(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        wrong()


def test_builders_are_never_changed_by_their_methods() -> None:
    base = select(TASK.id).from_(TASK)
    before = statement_of(base).text
    _ = base.where(TASK.id == 1).limit(1).order_by(TASK.id).for_update()
    assert statement_of(base).text == before


def test_binding_ten_values_takes_less_than_ten_microseconds() -> None:
    names = "abcdefghij"
    made = Template(lambda: select(*(Bind(n, array(INTEGER) if n < "f" else INTEGER).as_(n) for n in names)), tuple)
    values: dict[str, Any] = {name: list(range(1000)) if name < "f" else 1 for name in names}
    # The best of many short rounds by this thread's own clock: whatever else the processor does meanwhile.
    rounds = timeit.repeat(lambda: made.bind(**values), timer=time.thread_time, number=100, repeat=300)
    assert min(rounds) / 100 < 10e-6


MARK = "<<mark>>"
texts = st.text(max_size=30).map(lambda middle: f"{MARK}{middle}%(p1)s'\"\\")
numbers = st.integers(min_value=10**15, max_value=10**18)


@given(word=texts, data=st.binary(max_size=30).map(lambda data: b"\0'" + data), number=numbers)
def test_no_value_ever_stands_in_the_text(word: str, data: bytes, number: int) -> None:
    new = excluded(TASK)
    queries: list[Query[Any]] = [
        select((TASK.id + number).as_("n"))
        .from_(TASK)
        .where(TASK.type == word, TASK.args != data, TASK.type.like(word), TASK.type.in_([word]))
        .having(TASK.id > number)
        .order_by((TASK.id - number).desc()),
        insert(TASK)
        .columns(TASK.id, TASK.type, TASK.args)
        .values(number, word, data)
        .on_conflict(TASK.id, where=TASK.type != word)
        .do_update(TASK.type.to(word), TASK.id.to(new.id + number), where=TASK.args == data)
        .returning((TASK.id + number).as_("n")),
        update(TASK).set(TASK.args, data).set(TASK.type, word).where(TASK.id == number),
        delete(TASK).where(TASK.type == word, TASK.args == data, TASK.id == number),
        select(TASK.id).from_(TASK, unnest("v", n=Bind("n", array(INTEGER)))).where(TASK.type == word),
    ]
    for query in queries:
        statement = statement_of(query, values={"n": [1]} if "UNNEST" in query.get_sql() else {})
        assert MARK not in statement.text
        assert str(number) not in statement.text
        assert "\\" not in statement.text
        assert statement.text.count("%") == statement.text.count("%(")
        carried = list(statement.values.values())
        assert word in carried or [word] in carried
