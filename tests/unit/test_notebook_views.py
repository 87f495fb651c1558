"""What is shown of a batch, without a kernel and without a clock. Not for: waiting (``test_notebook_progress``)."""

from __future__ import annotations

import re

import pytest

from goque.model.states import Status
from goque.notebook.html import panel
from goque.notebook.text import line, pace, sentence
from goque.notebook.view import SYMBOLS, Pace, View


def view(done: int = 0, failed: int = 0, total: int = 100, **more: object) -> View:
    counts = {Status.DONE: done, Status.ATTEMPTS_LEFT: failed, Status.NEW: total - done - failed}
    return View("batch 1042 'nightly'", total, counts, **more)  # type: ignore[arg-type]


def looked(*looks: tuple[float, int]) -> Pace:
    made = Pace()
    for at, ended in looks:
        made.look(at, ended)
    return made


def test_a_batch_is_at_100_percent_only_when_every_task_has_ended() -> None:
    assert view(done=9_999, total=10_000).percent == 99
    assert view(done=9_990, failed=10, total=10_000).percent == 100
    assert View("empty", 0, {}).complete


def test_one_look_tells_no_pace() -> None:
    assert looked((0.0, 5)).rate is None
    assert looked((0.0, 5)).eta(10) is None


def test_the_pace_counts_from_the_first_look_not_from_the_first_task() -> None:
    assert looked((10.0, 5_000), (20.0, 5_100)).rate == pytest.approx(10.0)


def test_the_pace_forgets_what_was_long_ago() -> None:
    found = looked(*((float(at), 0) for at in range(30)), *((30.0 + at, at * 50) for at in range(20)))
    assert found.rate == pytest.approx(50.0)
    assert found.eta(500) == pytest.approx(10.0)


def test_a_stall_lowers_the_pace_until_no_end_can_be_told() -> None:
    busy = looked((0.0, 0), (5.0, 500))
    rates = [busy.rate]
    for at in (10.0, 15.0, 20.0, 40.0):
        busy.look(at, 500)
        rates.append(busy.rate)
    assert rates == sorted(rates, reverse=True)  # type: ignore[type-var]
    assert rates[-1] == 0
    assert busy.eta(10) is None


def test_a_retry_begins_the_pace_anew() -> None:
    found = looked((0.0, 0), (10.0, 1_000), (20.0, 500), (30.0, 600))
    assert found.rate == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("rate", "words"), [(1234.5, "1,234/s"), (2.5, "2.5/s"), (0.5, "30.0/min"), (0.001, "3.6/h"), (0.0, "0.0/s")]
)
def test_a_slow_pace_is_told_in_a_larger_unit(rate: float, words: str) -> None:
    assert pace(rate) == words


def test_the_line_fits_the_terminal_whatever_there_is_to_say() -> None:
    for width in (10, 40, 80, 200):
        assert len(line(view(done=50, failed=3, rate=412.0, eta=3661.0, note="paused " * 20), width)) < max(width, 2)


def test_the_line_has_bar_numbers_pace_end_and_failures() -> None:
    text = line(view(done=50, failed=3, rate=412.0, eta=12.0), 120)
    assert text == "[############------------]  53%  53/100  412/s  eta 12 s  3 failed"


def test_the_sentence_names_the_batch_and_its_counts() -> None:
    assert sentence(view(done=97, failed=3, elapsed=65.0)) == (
        "batch 1042 'nightly': 100 of 100 ended (97 done, 3 attempts_left), after 1 min 5 s"
    )


def test_the_panel_uses_elements_with_meaning_and_text_beside_symbols() -> None:
    found = panel(view(done=50, failed=3, rate=2.0, eta=23.5, note="no worker is alive"))
    assert '<progress max="100" value="53"' in found
    assert "<caption>" in found
    assert f"{SYMBOLS[Status.ATTEMPTS_LEFT]} attempts_left" in found
    assert "no worker is alive" in found
    assert not re.search(r"<script|role=|aria-|style=\"[^\"]*color", found)


def test_every_status_has_a_symbol_of_its_own() -> None:
    assert set(SYMBOLS) == set(Status)
    assert len(set(SYMBOLS.values())) == len(Status)


def test_titles_and_notes_cannot_become_markup() -> None:
    found = panel(View("<b>'x'</b>", 1, {Status.NEW: 1}, note="<script>alert(1)</script>"))
    assert "<script>" not in found
    assert "<b>" not in found
