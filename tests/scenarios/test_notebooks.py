"""The notebooks run from the first cell to the last, and show what they promise."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from goque.postgres import embedded
from tests.servers import temporary_directory

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

SHOWN = {
    "quickstart": ("FileNotFoundError", "Path(path).read_bytes()", "1 changed", "62 runs of 61 tasks, {'done': 61}"),
    "pipeline": ("KeyError", "airports.loc[destination]", "5 changed", "'done': 105", "Tulsa Intl"),
    "coming-from": ("4 done",),
    "operating": (
        "no digits in",
        "20 tasks unfinished",
        "<table><caption>queues",
        "8 changed",
        "'done': 200",
    ),
}
"""What their output must have, lines of the notebook in tracebacks included."""


def shown(notebook: nbformat.NotebookNode) -> str:
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            texts.append(output.get("text") or "".join(map(str, output.get("data", {}).values())))
    return "\n".join(texts)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with temporary_directory() as home:
        for name in list(os.environ):
            if name.startswith("GOQUE_"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("GOQUE_HOME", str(home))
        notebook = nbformat.read(path, as_version=4)
        try:
            NotebookClient(
                notebook, timeout=90, kernel_name="python3", resources={"metadata": {"path": home}}
            ).execute()
        finally:
            embedded.stop(home)
    output = shown(notebook)
    assert [text for text in SHOWN[path.stem] if text not in output] == []


def test_notebooks_are_kept_without_output_and_each_shows_something() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SHOWN)
    assert [path.stem for path in NOTEBOOKS if shown(nbformat.read(path, as_version=4))] == []
