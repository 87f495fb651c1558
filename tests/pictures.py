"""The pictures of the panel and the dashboard in the documents, taken anew: ``python -m tests.pictures``.

Not for: finding out whether they are right (``tests/scenarios/test_browser.py``); look at them.
"""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from goque.postgres import embedded
from tests.browser import Notebook, lab
from tests.servers import temporary_directory

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
PANEL = """
import random, time
from goque import Queue, context
q = Queue(workers=4)

def parse(page):
    if page in (40, 41):
        for row in range(60):
            context().progress(row, 60, "rows")
            time.sleep(0.1)
    time.sleep(random.random() / 15)
    if page % 120 == 35:
        raise ConnectionError(f"https://data.example/{page}: timed out after 30 s")
    if page % 23 == 3:
        raise ValueError(f"page {page} has no title")
    return page

batch = q.map(parse, range(600), name="pages", max_attempts=1)
batch
""".strip()
BOARD = """
q.pause("mail")
q.map(parse, range(12), queue="mail")
again = q.map(parse, range(2400), name="nightly", queue="etl", max_attempts=1)
board = q.dashboard(every=1)
board
""".strip()


def take() -> None:
    """Each of them from a notebook of its own server."""
    expect.set_options(timeout=60_000)
    with temporary_directory() as root:
        home = root / "home"
        try:
            with lab(root, {"GOQUE_HOME": str(home)}) as running:
                notebook = running.open("pages", PANEL, BOARD, width=930, height=1500)
                notebook.run(0)
                panel = notebook.panel()
                expect(panel).to_contain_text(re.compile("[23]\\d of 60 rows"))
                expect(panel).to_contain_text("ConnectionError")
                _save(notebook, 0, "running")
                expect(panel).to_contain_text("600 of 600 ended")
                expect(notebook.button("Pause")).to_have_count(0)
                panel.locator("summary").filter(visible=True).first.click()
                _save(notebook, 0, "failed")
                notebook.page.set_viewport_size({"width": 1110, "height": 1500})
                notebook.run(1)
                board = notebook.panel(1)
                expect(board).to_contain_text(re.compile("[1-4] of 4 slots busy.* in [3-9]", re.DOTALL))
                board.locator("select").nth(1).select_option("error")
                notebook.button("Search", 1).click()
                expect(board.locator("option", has_text="ValueError").first).to_be_attached()
                expect(board.get_by_text("running longest").filter(visible=True)).to_have_count(1)
                _save(notebook, 1, "dashboard")
        finally:
            embedded.stop(home)


def _save(notebook: Notebook, cell: int, name: str) -> None:
    notebook.page.mouse.move(0, 0)
    notebook.panel(cell).screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    take()
