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
    assert "FileNotFoundError" in output
    assert "Path(path).read_bytes()" in output, "the traceback has no source line of the notebook"
    assert "1 changed" in output


def test_there_is_a_notebook_to_begin_with() -> None:
    assert "quickstart" in [path.stem for path in NOTEBOOKS]
