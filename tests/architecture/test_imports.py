"""Imports only go down, and ``import goque`` is light."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT, runtime_imports, sources

HEAVY = ("pandas", "numpy", "ipywidgets", "IPython", "psycopg", "pypika", "cloudpickle", "matplotlib", "opentelemetry")
FRAMES = ("goque/history/", "goque/notebook/")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_floors_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports; exit(lint_imports())"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_importing_goque_loads_none_of_its_heavy_dependencies() -> None:
    loaded = run(f"import sys, goque; print(*(name for name in {HEAVY!r} if name in sys.modules))")
    assert loaded.split() == []


def test_a_queue_is_imported_without_pandas_and_widgets() -> None:
    names = ("pandas", "ipywidgets", "IPython", "matplotlib")
    loaded = run(f"import sys; from goque import Queue, Batch; print(*(n for n in {names!r} if n in sys.modules))")
    assert loaded.split() == []


def test_importing_goque_takes_less_than_a_quarter_of_a_second() -> None:
    timed = "import time; began = time.perf_counter(); import goque; print(time.perf_counter() - began)"
    assert min(float(run(timed)) for _ in range(3)) < 0.25


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.path)
def test_frames_are_made_in_two_rooms_only(source: object) -> None:
    path, _, tree = source  # type: ignore[misc]
    if not path.startswith(FRAMES):
        assert [name for name in runtime_imports(tree) if name.split(".")[0] == "pandas"] == []
