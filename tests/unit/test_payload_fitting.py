"""Payloads of named types: what becomes JSON, what fits a declared type, and what is said where it does not."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict
from uuid import UUID

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque.errors import PayloadError, PayloadTooLarge
from goque.payload.fitting import as_json, fit, is_payload_type

LIMIT = 1 << 20


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Line:
    item: str
    count: int = 1


@dataclass(frozen=True)
class Order:
    id: UUID
    at: datetime
    lines: list[Line]
    price: float
    colour: Colour = Colour.RED
    day: date | None = None
    note: Optional[str] = None  # noqa: UP045 - the older spelling is to be understood as well
    kind: Literal["a", "b"] = "a"
    tags: tuple[str, ...] = ()
    extra: dict[str, int] = field(default_factory=dict)
    either: int | str = 0
    anything: Any = None
    marked: Annotated[int, "mark"] = 0

    def __post_init__(self) -> None:
        if self.price < 0:
            raise ValueError("a price is not negative")


class Draft(TypedDict):
    to: str
    copies: NotRequired[int]


class Model(pydantic.BaseModel):
    to: str
    at: datetime
    copies: int = 0


ORDER = Order(
    id=UUID(int=7),
    at=datetime(2026, 11, 24, tzinfo=UTC),
    lines=[Line("pen", 2), Line("ink")],
    price=1.5,
    day=date(2026, 11, 24),
    note="soon",
    kind="b",
    tags=("x", "y"),
    extra={"a": 1},
    either="text",
    anything=[{"deep": None}],
    marked=3,
)
PLAIN = {"id": str(UUID(int=7)), "at": "2026-11-24T00:00:00Z", "lines": [], "price": 1}


def journey(value: Any, kind: Any) -> Any:
    return fit(json.loads(as_json(value, LIMIT)), kind)


def test_a_dataclass_comes_back_as_it_was() -> None:
    assert journey(ORDER, Order) == ORDER


def test_a_typed_dict_comes_back_as_it_was() -> None:
    assert journey({"to": "ann"}, Draft) == {"to": "ann"}
    assert journey({"to": "ann", "copies": 2}, Draft) == {"to": "ann", "copies": 2}


def test_a_pydantic_model_comes_back_as_it_was() -> None:
    model = Model(to="ann", at=datetime(2026, 11, 24, tzinfo=UTC))
    assert journey(model, Model) == model
    with pytest.raises(PayloadError, match="payload does not fit Model") as caught:
        fit({"to": "ann"}, Model)
    assert "at" in str(caught.value)


def test_a_whole_number_is_a_fraction_where_one_is_wanted() -> None:
    made = fit(PLAIN, Order)
    assert (made.price, type(made.price)) == (1.0, float)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "no"}, "payload.id is text, not UUID"),
        ({"at": "soon"}, "payload.at is text, not datetime"),
        ({"at": 5}, "payload.at is a whole number, not datetime"),
        ({"lines": [{"item": 1}]}, "payload.lines[0].item is a whole number, not str"),
        ({"lines": [{}]}, "payload.lines[0] lacks item for Line"),
        ({"lines": "pen"}, "payload.lines is text, not list"),
        ({"price": True}, "payload.price is a boolean, not float"),
        ({"price": -1}, "payload does not fit Order: a price is not negative"),
        ({"colour": "blue"}, "payload.colour is text, not Colour"),
        ({"day": 1}, "payload.day is a whole number, not date"),
        ({"note": 1}, "payload.note is a whole number, not str"),
        ({"kind": "c"}, "payload.kind is 'c', and only 'a', 'b' will do"),
        ({"extra": {"a": "b"}}, "payload.extra.a is text, not int"),
        ({"extra": []}, "payload.extra is a list, not mapping"),
        ({"either": None}, "payload.either is null, not int | str"),
        ({"marked": "x"}, "payload.marked is text, not int"),
        ({"colur": "red"}, "payload has colur, which Order does not know"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(PayloadError) as caught:
        fit(PLAIN | change, Order)
    assert str(caught.value) == said


@pytest.mark.parametrize("value", [None, 1, "text", [], True])
def test_a_dataclass_is_made_of_a_mapping_only(value: Any) -> None:
    with pytest.raises(PayloadError, match="not Line"):
        fit(value, Line)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # PostgreSQL holds neither NUL nor half of a surrogate pair.
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
)


@given(json_values)
def test_without_a_declared_type_any_json_is_as_it_was(value: Any) -> None:
    try:
        text = as_json(value, LIMIT)
    except PayloadError:
        assert "\\u0000" in json.dumps(value)
    else:
        assert fit(json.loads(text), None) == value


def test_a_row_of_a_data_frame_is_made_of_json_values() -> None:
    frame = pd.DataFrame({"n": [5], "x": [0.5], "good": [True], "at": [pd.Timestamp("2026-11-24", tz="UTC")], "s": "a"})
    [row] = [row.to_dict() for _, row in frame.iterrows()]
    small = {"small": np.uint8(3), "half": np.float32(0.5), "no": np.bool_(False)}
    assert json.loads(as_json(row | small, LIMIT)) == {
        **{"n": 5, "x": 0.5, "good": True, "at": "2026-11-24T00:00:00+00:00", "s": "a"},
        **{"small": 3, "half": 0.5, "no": False},
    }


@pytest.mark.parametrize(
    "value", [pd.NaT, pd.NA, np.float32("nan"), np.array([1, 2]), pd.Series([1]), np.datetime64("2026-11-24")]
)
def test_what_is_missing_in_a_data_frame_or_more_than_a_number_is_refused(value: Any) -> None:
    with pytest.raises(PayloadError):
        as_json({"value": value}, LIMIT)


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), float("inf"), {"a": "\0"}, {("a",): 1}, "\ud800"])
def test_what_postgresql_s_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(PayloadError):
        as_json(value, LIMIT)


def test_a_backslash_before_u0000_is_text_and_no_nul() -> None:
    assert json.loads(as_json("\\u0000", LIMIT)) == "\\u0000"


def test_a_payload_over_the_limit_is_refused_with_its_size() -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        as_json("x" * 100, 50)
    assert (caught.value.size, caught.value.limit) == (102, 50)


def test_only_what_can_be_made_counts_as_a_payload_type() -> None:
    assert all(map(is_payload_type, [Line, Draft, Model]))
    assert not any(map(is_payload_type, [dict, int, Line("a"), "Line", None, Line | None]))
