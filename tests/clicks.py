"""How long a press of a button takes in kernels of several versions: idle, while a cell awaits, while one computes.

``python -m tests.clicks 6.31.0 7.3.0 7.4.0`` fetches each from PyPI and prints seconds from the press until the panel
shows what came of it; the cells take five seconds from the press. Its figures are in docs/notebook.md. Not for: whether
buttons work (``tests/scenarios/test_browser.py``).
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import expect

from goque.postgres import embedded, scratch
from tests.browser import PATIENCE_MS, Lab, Notebook, lab

BATCH = """
import asyncio, time
from goque import Queue
q = Queue(workers=1)
def hold(x):
    time.sleep(600)
batch = q.map(hold, range(3))
batch
"""
CELL_S = 5
CELLS = {
    "idle": "",
    "await": f"print(time.time()); await asyncio.sleep({CELL_S})",
    "computing": f"print(time.time()); time.sleep({CELL_S})",
}
PRESSES = (("Pause", "Resume"), ("Resume", "Pause"))
ROUNDS = 4


def pressed(notebook: Notebook, button: str, expected: str) -> float:
    """Seconds from a press until the panel offers the opposite."""
    began = time.perf_counter()
    notebook.button(button).click()
    expect(notebook.button(expected)).to_be_visible(timeout=PATIENCE_MS)
    return time.perf_counter() - began


def measure(found: Lab) -> dict[str, list[float]]:
    """Seconds of the presses in a new notebook for each thing that the kernel does meanwhile, the first one first."""
    seconds: dict[str, list[float]] = {}
    for name, cell in CELLS.items():
        notebook = found.open(name, BATCH, cell)
        notebook.run(0)
        expect(notebook.panel()).to_contain_text("running longest")
        seconds[name] = [_press(notebook, bool(cell), *PRESSES[turn % 2]) for turn in range(ROUNDS)]
        notebook.page.close()
    return seconds


def _press(notebook: Notebook, busy: bool, button: str, expected: str) -> float:
    notebook.ready()
    if busy:
        before = notebook.panel(1).inner_text()
        notebook.run(1)
        expect(notebook.panel(1)).not_to_have_text(before)
        expect(notebook.panel(1)).to_contain_text(".")
    return pressed(notebook, button, expected)


def main(versions: list[str]) -> None:
    """Fetch and measure these versions of ipykernel."""
    expect.set_options(timeout=PATIENCE_MS)
    for version in versions:
        with scratch.directory() as folder:
            packages = folder / "packages"
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
            subprocess.run([*pip, "--target", str(packages), f"ipykernel=={version}"], check=True)
            root = Path(folder) / "lab"
            root.mkdir()
            try:
                with lab(root, {"GOQUE_HOME": str(folder), "PYTHONPATH": str(packages)}) as found:
                    seconds = measure(found)
            finally:
                embedded.stop(folder)
            said = (f"{name} {' '.join(f'{one:.2f}' for one in some)} s" for name, some in seconds.items())
            print(f"ipykernel {version}: {', '.join(said)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
