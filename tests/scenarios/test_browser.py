"""The panel and the dashboard in a real JupyterLab, looked at and operated as their users do.

Not for: what they say in detail (tests/unit).

Pictures of it go to the folder that ``GOQUE_SCREENSHOTS`` names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser import CHROMIUM, PATIENCE_MS, Lab, Notebook
from tests.browser import lab as running_lab
from tests.conftest import _new_database

pytestmark = [pytest.mark.slow, pytest.mark.once, pytest.mark.timeout(180)]

WORK = """
import os, time
from goque import Queue
q = Queue(workers=2)

def parse(page):
    while not os.path.exists("{gates}/%s" % (page // 10)):
        time.sleep(0.02)
    if page % 10 == 3:
        raise ValueError(f"page {{page}} has no title")
    return page

batch = q.map(parse, range(40), name="{name}", max_attempts=1)
batch
""".strip()
"""Tens of pages wait for a file each, so that the test says how far the batch gets."""


class Gates:
    """What holds tasks and cells up until a test opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def open(self, *names: object) -> None:
        for name in names:
            (self.folder / str(name)).touch()

    def held(self, name: str, *, pause: str) -> str:
        """Python that goes on when the gate of this name is open."""
        return f'while not os.path.exists("{self.folder}/{name}"):\n    {pause}'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, server_dsn: str, template_database: str) -> Iterator[Lab]:
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "chromium is not installed"
        pytest.skip("chromium is not installed")
    expect.set_options(timeout=PATIENCE_MS)
    with _new_database(server_dsn, f"goque_browser_{os.getpid()}", template=template_database) as dsn:
        settings = {"GOQUE_DSN": dsn, "GOQUE_SECRET": "a secret for the tests of the panel"}
        with running_lab(tmp_path_factory.mktemp("lab"), settings) as lab:
            yield lab


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path / "gates")


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Notebook, str], None]:
    """Keep a picture of what the page shows."""
    folder = Path(os.environ.get("GOQUE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def take(notebook: Notebook, name: str) -> None:
        notebook.page.mouse.move(0, 0)
        notebook.page.screenshot(path=folder / f"{name}.png")

    return take


def says(shown: Locator, text: str) -> None:
    """What can be seen has this text, soon."""
    expect(shown).to_contain_text(text, use_inner_text=True)


def seen(shown: Locator, what: str) -> Locator:
    """Those elements that can be seen: of what is saved and what is live one is hidden."""
    return shown.locator(what).filter(visible=True)


def test_every_button_does_what_it_says(lab: Lab, gates: Gates, picture: Callable[[Notebook, str], None]) -> None:
    notebook = lab.open("buttons", WORK.format(gates=gates.folder, name="buttons"))
    gates.open(0, 1)
    notebook.run(0)
    panel = notebook.panel()
    says(panel, "20 of 40 ended")
    says(panel, "running longest")
    says(panel, "2 × ValueError: page # has no title")
    # What is unfolded stays so while numbers change.
    seen(panel, "summary").click()
    bar = seen(panel, "progress")
    before = bar.get_attribute("title")
    expect(bar).not_to_have_attribute("title", before)
    expect(seen(panel, "pre")).to_contain_text("Cell In[1], line 9, in parse")
    picture(notebook, "running")

    notebook.button("Pause").click()
    says(panel, "paused")
    expect(notebook.button("Pause")).to_have_count(0)
    # By keyboard: who is asked and presses the same key again has canceled nothing.
    press = notebook.page.keyboard.press
    expect(notebook.button("Cancel …")).to_be_enabled()
    notebook.button("Cancel …").focus()
    press("Enter")
    expect(notebook.button("Keep them")).to_be_focused()
    expect(notebook.button("Cancel 20 tasks")).to_be_visible()
    picture(notebook, "asking")
    press("Enter")
    expect(notebook.button("Cancel …")).to_be_focused()
    press("Shift+Tab")
    expect(notebook.button("Retry 2 failed")).to_be_focused()
    press("Shift+Tab")
    expect(notebook.button("Resume")).to_be_focused()
    expect(notebook.button("Resume")).to_be_enabled()
    press("Space")
    expect(notebook.button("Pause")).to_be_visible()

    notebook.button("Retry 2 failed").click()
    says(panel, "2 changed")
    says(panel, "18 of 40 ended")
    expect(seen(panel, "summary")).to_have_count(0)
    notebook.button("Cancel …").click()
    notebook.button("Cancel 22 tasks").click()
    says(panel, "40 of 40 ended")
    expect(panel.locator(".jupyter-widgets")).to_have_count(0)
    expect(seen(panel, "progress")).to_have_count(1)
    outputs = notebook.saved().cells[0].outputs
    assert not any("widget" in kind for output in outputs for kind in output.data)
    assert "40 of 40 ended" in outputs[0].data["text/html"]
    assert "as it was at" not in outputs[0].data["text/html"]
    assert "22 canceled" in outputs[0].data["text/plain"]


def test_the_panel_lives_while_cells_run_and_after_the_page_was_loaded_again(
    lab: Lab, gates: Gates, picture: Callable[[Notebook, str], None]
) -> None:
    notebook = lab.open(
        "busy",
        WORK.format(gates=gates.folder, name="busy"),
        "import asyncio\n" + gates.held("awaiting", pause="await asyncio.sleep(0.02)"),
        gates.held("blocking", pause="time.sleep(0.02)"),
    )
    notebook.run(0)
    panel = notebook.panel()
    says(panel, "running longest")
    notebook.run(1)
    gates.open(0)
    says(panel, "10 of 40 ended")
    notebook.button("Pause").click()
    expect(notebook.button("Resume")).to_be_visible(timeout=3_000)
    notebook.button("Resume").click()
    expect(notebook.button("Pause")).to_be_visible()
    gates.open("awaiting")
    notebook.ready()

    notebook.run(2)
    gates.open(1)
    says(panel, "20 of 40 ended")
    # A kernel that computes does what buttons say when it has time; verbs of the command line need not wait for it.
    notebook.button("Pause").click()
    gates.open("blocking")
    expect(notebook.button("Resume")).to_be_visible()

    # What is not saved is gone with the page. What is kept of unfinished work says when it was true.
    markup = notebook.saved().cells[0].outputs[0].data["text/html"]
    was = re.search(r"\d+ of 40 ended", markup)
    assert was is not None
    assert f"as it was at {datetime.now(UTC):%Y-%m-%d }" in markup
    expect(panel).not_to_contain_text("as it was at", use_inner_text=True)
    lab.set_theme("JupyterLab Dark")
    notebook.page.reload()
    notebook.ready()
    says(panel, "20 of 40 ended")
    notebook.button("Resume").click()
    gates.open(2)
    says(panel, "30 of 40 ended")
    picture(notebook, "dark")
    notebook.page.set_viewport_size({"width": 480, "height": 800})
    assert seen(panel, "section").first.evaluate("it => it.scrollWidth <= it.clientWidth")
    picture(notebook, "narrow")
    gates.open(3)
    says(panel, "40 of 40 ended")
    expect(notebook.button("Retry 4 failed")).to_be_visible()
    # What a page loaded from the file, no kernel renews. Once the kernel is gone it is seen, and says when it was true.
    kept = panel.locator(".goque-kept").first
    expect(kept).to_be_hidden()
    notebook.saved()
    notebook.command("notebook:restart-kernel", confirm="Kernel Restart")
    notebook.ready()
    notebook.page.reload()
    expect(kept).to_be_visible()
    says(kept, was[0])
    says(kept, "as it was at")
    expect(panel.get_by_text("model not found")).to_have_count(1)
    expect(panel.get_by_text("model not found")).to_be_hidden()
    picture(notebook, "kept")


def test_a_restart_finds_the_work_again_and_submits_nothing_twice(lab: Lab, gates: Gates) -> None:
    """Here without ipywidgets: then the HTML alone is live."""
    notebook = lab.open(
        "again",
        "import sys; sys.modules['ipywidgets'] = None\n" + WORK.format(gates=gates.folder, name="again"),
        'print(len(q.batches(batch="again")), len(q.tasks(batch="again")))\nq.last',
    )
    notebook.run(0)
    says(notebook.panel(), "0 of 40 ended")
    notebook.command("notebook:restart-run-all", confirm="Kernel Restart")
    last = notebook.panel(1)
    says(last, "1 40")
    says(last, "0 of 40 ended")
    gates.open(0, 1, 2, 3)
    for panel in (notebook.panel(0), last):
        says(panel, "40 of 40 ended")
        says(panel, "4 × ValueError: page # has no title")
        expect(panel.get_by_role("button")).to_have_count(0)


BOARD = """
from goque import Queue
q = Queue(workers=2)

def check(row):
    if row % 10 == 3:
        raise ValueError(f"row {row} has no date")
    return row

q.map(check, range(120), name="checked", queue="etl", max_attempts=1).wait(60)
q.map(check, range(5), name="waiting", queue="later", delay="1h")
board = q.dashboard(every=0.3)
board
""".strip()


def test_every_control_of_the_dashboard_does_what_it_says(lab: Lab, picture: Callable[[Notebook, str], None]) -> None:
    lab.set_theme("JupyterLab Light")
    notebook = lab.open("dashboard", BOARD, "board.selected[['task_id', 'status']]", width=1200, height=1000)
    notebook.run(0)
    shown = notebook.panel()
    says(shown, "5 unfinished")
    tables = seen(shown, "table")
    says(tables.filter(has_text="newest batches"), "checked")
    queue, status = (shown.locator("select").nth(place) for place in range(2))
    row = tables.filter(has_text="pending")
    queue.select_option("later")
    notebook.button("Pause").click()
    says(shown, "paused later; what runs goes on")
    says(row.locator("tr", has_text="later"), "paused")
    notebook.button("Resume").click()
    says(shown, "resumed later")
    expect(row.locator("tr", has_text="later")).not_to_contain_text("paused", use_inner_text=True)

    # Each filter leaves what it names; the next page has what the first one had no room for.
    found = shown.locator("select[multiple] option")

    def fill(hint: str, text: str) -> None:
        box = shown.get_by_placeholder(hint, exact=True)
        box.fill(text)
        box.press("Enter")

    fill("batch", "checked")
    notebook.button("Search").click()
    expect(found).to_have_count(100)
    notebook.button("Older").click()
    expect(found).to_have_count(20)
    for hint, text, number in (
        ("queue", "later", 1),
        ("queue", "etl", 100),
        ("function", "nobody", 1),
        ("error type", "ValueError", 12),
        ("since, as 2h", "1h", 100),
    ):
        fill(hint, text)
        notebook.button("Search").click()
        expect(found).to_have_count(number)
        if number == 1:
            expect(found).to_have_text("nothing matches")
        fill(hint, "")
    status.select_option("error")
    notebook.button("Search").click()
    expect(found).to_have_count(12)
    says(found.first, "ValueError: row 113 has no date")
    picture(notebook, "dashboard")

    # What is selected is a frame, and what the verbs are for.
    notebook.button("Retry selected").click()
    says(shown, "select what to retry first")
    shown.locator("select[multiple]").select_option(index=[0, 1])
    notebook.run(1)
    expect(notebook.panel(1).locator("tbody tr")).to_have_count(2)
    notebook.button("Retry selected").click()
    says(shown, "retry: 2 changed")
    status.select_option("any status")
    fill("batch", "waiting")
    notebook.button("Search").click()
    expect(found).to_have_count(5)
    shown.locator("select[multiple]").select_option(index=[0])
    notebook.button("Cancel selected").click()
    expect(notebook.button("Yes, cancel them")).to_be_visible()
    notebook.button("Yes, cancel them").click()
    says(shown, "cancel: 1 changed")
    says(shown, "4 unfinished")

    lab.set_theme("JupyterLab Dark")
    notebook.saved()
    notebook.page.reload()
    notebook.ready()
    notebook.page.set_viewport_size({"width": 520, "height": 1000})
    says(shown, "4 unfinished")
    queue.select_option("all queues")
    notebook.button("Pause").click()
    says(shown, "paused all queues")
    # What is wider than the window can be scrolled to, and stays there while the page is renewed.
    around = seen(shown, ".widget-html").filter(has=notebook.page.locator("table"))
    assert seen(around, "section").evaluate("it => it.clientWidth") <= around.evaluate("it => it.clientWidth")
    picture(notebook, "dashboard-dark-narrow")
    around.evaluate("it => { it.scrollLeft = 10000; }")
    moment = around.get_by_text("as of").first.inner_text()
    expect(around.get_by_text(moment)).to_have_count(0)
    edge = around.evaluate("it => it.getBoundingClientRect().right")
    ends = around.locator("table").evaluate_all("all => all.map(it => it.getBoundingClientRect().right)")
    assert edge - 40 < max(ends) <= edge
    notebook.button("Resume").click()
    says(shown, "resumed all queues")
    lab.set_theme("JupyterLab Light")


def test_one_batch_in_several_tabs_is_operated_by_keyboard_and_followed_in_each(
    lab: Lab, gates: Gates, picture: Callable[[Notebook, str], None]
) -> None:
    work = WORK.format(gates=gates.folder, name="tabs")
    notebook = lab.open("tabs", work, 'q.batch("tabs")')
    notebook.command("notebook:run-all-cells")
    copy = notebook.panel(1)
    says(copy, "0 of 40 ended")
    other = lab.open("other-tab", 'from goque import Queue\nq = Queue(workers=0)\nq.batch("tabs")')
    other.run(0)
    says(other.panel(), "0 of 40 ended")

    # Without a mouse: from a cell of the notebook to the buttons and on.
    notebook.page.bring_to_front()
    notebook.cell(1).locator(".cm-content").first.click()
    press = notebook.page.keyboard.press
    press("Escape")
    for _ in range(40):
        press("Tab")
        if notebook.page.evaluate("document.activeElement.textContent") == "Pause":
            break
    expect(notebook.button("Pause", 1)).to_be_focused()
    press("Enter")
    for panel in (notebook.panel(0), copy, other.panel()):
        says(panel, "paused")
    other.page.bring_to_front()
    other.button("Resume").click()
    expect(notebook.button("Pause", 0)).to_be_visible()
    expect(notebook.button("Pause", 1)).to_be_visible()
    gates.open(0, 1, 2, 3)
    for panel in (notebook.panel(0), copy, other.panel()):
        says(panel, "40 of 40 ended")
    picture(other, "another-notebook")
