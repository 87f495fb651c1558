"""Tables for people and forms for machines. Not for: the commands."""

from __future__ import annotations

import argparse
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from goque.cli.tables import Column, length, since, table, tally, write_frame
from goque.errors import InvalidInput
from goque.history.records import records

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def columns(*names: str, flexible: str = "", right: str = "") -> list[Column]:
    def cell_of(name: str) -> Any:
        return lambda row: str(row.get(name) or "")

    return [Column(name.upper(), cell_of(name), name in right.split(), name in flexible.split()) for name in names]


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": pd.array([2**60 + 1, None], dtype="Int64"),
            "name": ['a "quoted", Ω\nname', None],
            "at": pd.to_datetime([NOW, None], utc=True).as_unit("us"),
            "took_s": [0.5, float("nan")],
            "metadata": pd.Series([{"k": [1, None]}, None], dtype=object),
        }
    )


def written(form: str, capsys: pytest.CaptureFixture[str]) -> str:
    write_frame(frame(), argparse.Namespace(json=form == "json", csv=form == "csv", parquet=None))
    return capsys.readouterr().out


def test_columns_are_aligned_and_numbers_stand_at_the_right() -> None:
    rows = [{"name": "a", "n": "1"}, {"name": "long name", "n": "1,000"}]
    assert table(columns("name", "n", right="n"), rows) == ("NAME           N\na              1\nlong name  1,000")


def test_a_column_that_is_empty_everywhere_is_left_out() -> None:
    assert table(columns("name", "error"), [{"name": "a"}]) == "NAME\na"


def test_only_flexible_columns_are_cut_to_the_width() -> None:
    rows = [{"id": "i" * 30, "error": "e" * 200}]
    lines = table(columns("id", "error", flexible="error"), rows, width=60).splitlines()
    assert lines[1] == "i" * 30 + "  " + "e" * 27 + "…"


def test_a_row_stays_one_line_whatever_its_text() -> None:
    text = table(columns("error"), [{"error": "first\nsecond\x1b[31m\tthird\x00"}])
    assert text == "ERROR\nfirst second [31m third"


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (timedelta(milliseconds=300), "now"),
        (timedelta(seconds=3), "3 s ago"),
        (timedelta(minutes=3, seconds=20), "3 min ago"),
        (timedelta(days=2, hours=5), "2 d ago"),
        (timedelta(hours=-2), "in 2 h"),
    ],
)
def test_moments_are_told_from_now_in_one_unit(before: timedelta, words: str) -> None:
    assert since(NOW - before, NOW) == words


def test_missing_values_are_empty_and_zeros_are_quiet() -> None:
    assert (since(None, NOW), length(None), tally(0), tally(1234)) == ("", "", ".", "1,234")


def test_rows_of_a_frame_have_none_where_a_value_is_missing() -> None:
    assert records(frame())[1] == {"id": None, "name": None, "at": None, "took_s": None, "metadata": None}


def test_json_is_one_array_that_keeps_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = json.loads(written("json", capsys))
    assert first == {
        "id": 2**60 + 1,
        "name": 'a "quoted", Ω\nname',
        "at": "2026-11-24T12:00:00+00:00",
        "took_s": 0.5,
        "metadata": {"k": [1, None]},
    }
    assert set(second.values()) == {None}


def test_csv_has_a_header_and_json_in_place_of_mappings(capsys: pytest.CaptureFixture[str]) -> None:
    header, first, second = csv.reader(io.StringIO(written("csv", capsys)))
    assert header == ["id", "name", "at", "took_s", "metadata"]
    assert first[:2] == [str(2**60 + 1), 'a "quoted", Ω\nname']
    assert json.loads(first[4]) == {"k": [1, None]}
    assert second == [""] * 5


def test_parquet_goes_to_a_file_or_says_what_is_missing(tmp_path: Path) -> None:
    wanted = argparse.Namespace(json=False, csv=False, parquet=str(tmp_path / "out.parquet"))
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        with pytest.raises(InvalidInput, match="pip install pyarrow"):
            write_frame(frame(), wanted)
    else:
        write_frame(frame(), wanted)
        assert pd.read_parquet(wanted.parquet)["took_s"].iloc[0] == 0.5
