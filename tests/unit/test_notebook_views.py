"""What is shown of a batch, without a kernel and without a clock. Not for: waiting (``test_notebook_progress``)."""

from __future__ import annotations

import re

import pytest

from goque.model.states import Status
from goque.notebook.cells import named
from goque.notebook.html import panel
from goque.notebook.text import failures as text_failures
from goque.notebook.text import line, pace, sentence
from goque.notebook.view import SYMBOLS, Failures, Pace, Running, View


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
    assert "<th " in found
    assert f"{SYMBOLS[Status.ATTEMPTS_LEFT]} attempts_left" in found
    assert "no worker is alive" in found
    assert not re.search(r"<script|<style|role=|aria-", found)


def test_every_status_has_a_symbol_of_its_own() -> None:
    assert set(SYMBOLS) == set(Status)
    assert len(set(SYMBOLS.values())) == len(Status)


def test_what_runs_and_what_failed_is_told_by_place() -> None:
    failures = [Failures(1_204, "ValueError", "bad value #\nand more", "Cell In[3], line 5, in parse", 17, "Trace <b>")]
    shown = view(done=50, workers=2, slots=8, running=[Running(51, 12.0, "3 of 10 pages")], failures=failures)
    found = panel(shown)
    assert "2 workers alive, 8 slots" in found
    assert all(f">{word}</td>" in found for word in ("batch[51]", "12 s", "3 of 10 pages"))
    assert "1,204 × <strong>ValueError: bad value # …</strong>" in found
    assert "Trace &lt;b&gt;" in found
    assert text_failures(shown) == "✗ 1,204 x ValueError: bad value # … (Cell In[3], line 5, in parse; batch[17])"


def test_cells_are_named_as_their_user_knows_them() -> None:
    traceback = 'File "<notebook cell 12>", line 7, in f\nFile "<notebook cell 13>", line 1, in g'
    assert named(traceback, {"12": 3}) == 'Cell In[3], line 7, in f\nFile "<notebook cell 13>", line 1, in g'
    assert named("<notebook cell 12>:7 f", {"12": 3}) == "Cell In[3], line 7, in f"
    assert named("<notebook cell 13>:7 f", {"12": 3}) == "<notebook cell 13>:7 f"
    assert named("<notebook cell 12>") == "<notebook cell 12>"


def test_titles_and_notes_cannot_become_markup() -> None:
    evil = "<script>alert(1)</script>"
    failures = [Failures(1, evil, evil, evil, 0, evil)]
    running = [Running(0, 1.0, evil)]
    found = panel(View("<b>'x'</b>", 1, {Status.NEW: 1}, note=evil, failures=failures, running=running))
    assert "<script>" not in found
    assert "<b>" not in found
