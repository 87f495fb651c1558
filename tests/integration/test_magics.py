"""``%goque`` and ``%%goque`` in an IPython shell: what a cell becomes, and what is said of a wrong line."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from goque import Batch, Queue, Task
from goque.errors import InvalidInput


@pytest.fixture
def shell(q: Queue) -> Any:
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "goque")
    shell.user_ns["q"] = q
    return shell


def test_a_cell_is_a_task_that_sees_the_variables_of_the_notebook(shell: Any) -> None:
    shell.user_ns["factor"] = 6
    cell = 'words = """\n  two lines"""\nif words:\n    bonus = 7\nbonus * len(words)  # the value\n'
    task = shell.run_cell_magic("goque", "", cell)
    assert isinstance(task, Task)
    assert task.result(timeout=30) == 7 * len("\n  two lines")
    assert shell.run_cell_magic("goque", "", "factor * 7").result(timeout=30) == 42


def test_a_cell_runs_once_per_item_under_a_name_and_fails_with_its_own_lines(shell: Any) -> None:
    shell.user_ns["numbers"] = [1, 0, 2]
    line = "for n in numbers with name='magic', max_attempts=1"
    batch = shell.run_cell_magic("goque", line, "half = 6 / n\nhalf")
    assert isinstance(batch, Batch)
    assert batch.results(errors="skip", timeout=30) == [6.0, 3.0]
    assert "half = 6 / n" in batch[1].traceback
    assert shell.run_cell_magic("goque", line, "half = 6 / n\nhalf").id == batch.id
    pairs = shell.run_cell_magic("goque", "for a, b in [(1, 2), (3, 4)]", "a + b")
    assert pairs.results(timeout=30) == [3, 7]


def test_a_cell_without_a_last_value_returns_none(shell: Any) -> None:
    assert shell.run_cell_magic("goque", "with priority=3", "x = 1").result(timeout=30) is None


def test_a_line_that_is_not_understood_says_what_is(shell: Any) -> None:
    with pytest.raises(InvalidInput, match="for NAME in ITEMS"):
        shell.run_cell_magic("goque", "numbers", "1")
    with pytest.raises(InvalidInput, match="the cell is empty"):
        shell.run_cell_magic("goque", "", "# nothing\n")
    with pytest.raises(InvalidInput, match="%goque knows status"):
        shell.run_line_magic("goque", "stauts")


def test_status_is_the_dashboard(shell: Any, q: Queue) -> None:
    with shell.run_line_magic("goque", "status") as board:
        assert "queues" in board._repr_html_()
