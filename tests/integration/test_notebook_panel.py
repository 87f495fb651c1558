"""A batch in a real kernel: what a saved notebook keeps. Not for: what a view looks like (tests/unit)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from goque.postgres import embedded

SETUP = """
from goque import Queue
q = Queue(workers=2)
def halve(x):
    if x % 13 == 0:
        raise ValueError(f"unlucky {x}")
    return x / 2
batch = q.options(max_attempts=1).map(halve, range(40))
batch.progress()
"""
AGAIN = """
import pathlib, tempfile
path = pathlib.Path(tempfile.mkdtemp()) / "lucky"
def try_it(path):
    if not path.exists():
        raise ValueError("no luck")
    return str(path)
one = q.options(max_attempts=1).map(try_it, [path])
one.progress()
"""
LUCKY = "path.touch()\none[0].retry()\none[0].result() == str(path)"
OTHER = "other = q.map(halve, range(1, 9))\nother"
ERRORS = (
    "[str(batch.errors().loc[0, name]) for name in ('user_frame', 'error', 'example', 'count')], "
    "[batch[13].traceback, q.history(failed=True)['traceback'][0], batch.history(failed=True)['traceback'][0]]"
)


@pytest.mark.timeout(120)
def test_the_last_state_of_a_batch_stays_in_the_notebook(server_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOQUE_HOME", str(server_home))
    monkeypatch.delenv("GOQUE_DSN", raising=False)
    sources = (SETUP, "batch", "batch[3:5]", ERRORS, OTHER, "len(other.results())", AGAIN, LUCKY)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    try:
        NotebookClient(notebook, timeout=90, kernel_name="python3").execute()
    finally:
        embedded.stop(server_home)
    waited, shown = outputs(notebook.cells[0]), outputs(notebook.cells[1])
    # The cell returns the batch, which is not shown a second time. There is no widget: nobody could have used it.
    assert "widgets" not in notebook.metadata
    for state, failures in (waited, shown):
        assert not any("widget" in kind for kind in (*state, *failures))
        assert '<progress max="40" value="40"' in state["text/html"]
        assert "40 of 40 ended (36 done, 4 attempts_left), after" in state["text/plain"]
        assert "retry()" in state["text/html"]
        assert "4 × <strong>ValueError: unlucky #</strong>" in failures["text/html"]
        assert "Cell In[1], line 5, in halve" in failures["text/html"]
        assert "raise ValueError(f&quot;unlucky {x}&quot;)" in failures["text/html"]
        assert failures["text/plain"] == "✗ 4 x ValueError: unlucky # (Cell In[1], line 5, in halve; batch[0])"
    (part,) = outputs(notebook.cells[2])
    assert "2 of 40 x" in part["text/html"]
    assert '<progress max="2" value="2"' in part["text/html"]
    (said,) = outputs(notebook.cells[3])
    grouped, tracebacks = ast.literal_eval(said["text/plain"])
    assert grouped == ["Cell In[1], line 5, in halve", "unlucky #", "unlucky 0", "4"]
    assert all("  Cell In[1], line 5, in halve\n    raise ValueError" in traceback for traceback in tracebacks)
    # Nothing but a last look at the end of the last cell makes this the last state.
    (other,) = [output for output in outputs(notebook.cells[4]) if output["text/plain"]]
    assert "8 of 8 ended (8 done)" in other["text/plain"]
    assert not any("widget" in kind for kind in other)
    # A panel that had ended looks again when one of its tasks is retried.
    assert "1 of 1 ended (1 done)" in outputs(notebook.cells[6])[0]["text/plain"]


@pytest.mark.timeout(120)
def test_a_notebook_that_papermill_ran_shows_the_end_as_a_web_page(
    server_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOQUE_HOME", str(server_home))
    monkeypatch.delenv("GOQUE_DSN", raising=False)
    given, ran = tmp_path / "given.ipynb", tmp_path / "ran.ipynb"
    sources = (SETUP.replace("batch.progress()", "batch"), "batch.wait(60).counts()['done']", "q.dashboard()")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources]), given)
    try:
        papermill.execute_notebook(str(given), str(ran), kernel_name="python3", progress_bar=False)
    finally:
        embedded.stop(server_home)
    page, _ = HTMLExporter().from_filename(str(ran))
    assert re.search(r'<progress max="40" [^>]*title="100% · 40 of 40 ended[^>]* value="40">', page)
    assert "4 × <strong>ValueError: unlucky #</strong>" in page
    assert "Cell In[1], line 5, in halve" in page
    assert "running longest" not in page
    # A button that nobody answers is none; the dashboard is its tables.
    assert "Retry" not in page
    assert "Pause" not in page
    assert re.search("<caption>newest batches</caption>.*halve", page)


def outputs(cell: nbformat.NotebookNode) -> list[dict[str, str]]:
    """The displayed outputs of a cell; nothing may have gone to its streams."""
    assert [output for output in cell.outputs if output.output_type in ("stream", "error")] == []
    return [output.data for output in cell.outputs]
