"""Progress in a real kernel: what a saved notebook keeps. Not for: what a view looks like (tests/unit)."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from goque.postgres import embedded

SETUP = """
from goque import Queue
q = Queue(workers=2)
def halve(x):
    if x == 13:
        raise ValueError("thirteen")
    return x / 2
batch = q.options(max_attempts=1).map(halve, range(40))
batch.progress()
"""


@pytest.mark.timeout(120)
def test_the_last_state_of_progress_and_the_batch_stay_in_the_notebook(
    server_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOQUE_HOME", str(server_home))
    monkeypatch.delenv("GOQUE_DSN", raising=False)
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, "batch", "batch[3:5]", "q.close()")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    try:
        NotebookClient(notebook, timeout=90, kernel_name="python3").execute()
    finally:
        embedded.stop(server_home)
    shown, *rest = outputs(notebook.cells[0])
    assert '<progress max="40" value="40"' in shown["text/html"]
    assert "attempts_left" in shown["text/html"]
    assert "retry()" in shown["text/html"]
    assert "40 of 40 ended (39 done, 1 attempts_left)" in shown["text/plain"]
    # What the cell returns: the batch itself.
    assert ["<progress" in output["text/html"] for output in rest] == [True]
    (whole,) = outputs(notebook.cells[1])
    assert "40 x" in whole["text/html"]
    assert whole["text/plain"].startswith("<Batch ")
    (part,) = outputs(notebook.cells[2])
    assert "2 of 40 x" in part["text/html"]
    assert '<progress max="2" value="2"' in part["text/html"]


def outputs(cell: nbformat.NotebookNode) -> list[dict[str, str]]:
    """The displayed outputs of a cell; nothing may have gone to its streams."""
    assert [output for output in cell.outputs if output.output_type in ("stream", "error")] == []
    return [output.data for output in cell.outputs]
