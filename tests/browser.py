"""A real JupyterLab in a real browser, for tests. Not for: what they look at."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
_TOKEN = "browser"
_QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_SETTINGS = {
    "notification": {"fetchNews": "false", "checkForUpdates": False},
    "themes": {"theme": "JupyterLab Light"},
}
PATIENCE_MS = 40_000


class Lab:
    """A server of JupyterLab and a browser."""

    def __init__(self, root: Path, address: str, browser: Browser, environment: dict[str, str]) -> None:
        self.root = root
        self.environment = environment
        self._address = address
        self._browser = browser

    def open(self, name: str, *cells: str, width: int = 1000, height: int = 800) -> Notebook:
        """A notebook of these cells in a page of its own."""
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        path = self.root / f"{name}.ipynb"
        nbformat.write(made, path)
        page = self._browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{self._address}/doc/tree/{path.name}?token={_TOKEN}")
        return Notebook(page, path)

    def set_theme(self, theme: str) -> None:
        """The theme of pages that are loaded from now on."""
        _put(self._address, "themes", {"theme": theme})


class Notebook:
    """One notebook in its page."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.path = path
        self.ready()

    def ready(self) -> None:
        """Wait until its kernel can be used."""
        expect(self.page.locator("#jp-main-statusbar").get_by_text("| Idle")).to_be_visible(timeout=PATIENCE_MS)

    def run(self, *cells: int) -> None:
        """Run these cells, without waiting for them."""
        for number in cells:
            self.cell(number).locator(".cm-content").first.click()
            self.page.keyboard.press("Shift+Enter")

    def cell(self, number: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def panel(self, cell: int = 0) -> Locator:
        """What the output of a cell shows."""
        return self.cell(cell).locator(".jp-Cell-outputArea")

    def button(self, name: str, cell: int = 0) -> Locator:
        """The button that is there under this name."""
        return self.panel(cell).get_by_role("button", name=name).filter(visible=True)

    def command(self, name: str, *, confirm: str = "") -> None:
        """A command of JupyterLab."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)
        if confirm:
            self.page.locator(".jp-Dialog").get_by_role("button", name=f"Confirm {confirm}").click()

    def saved(self) -> nbformat.NotebookNode:
        """Save it, and read the file."""
        before = self.path.stat().st_mtime_ns
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        give_up_at = time.monotonic() + 10
        while self.path.stat().st_mtime_ns == before:
            assert time.monotonic() < give_up_at, "the notebook was not saved"
            time.sleep(0.05)
        return nbformat.read(self.path, as_version=4)


@contextmanager
def lab(root: Path, environment: dict[str, str]) -> Iterator[Lab]:
    """JupyterLab on a port of its own and Chromium for the block."""
    notebooks = root / "notebooks"
    notebooks.mkdir()
    names = {"JUPYTER_CONFIG_DIR": "c", "JUPYTER_DATA_DIR": "d", "JUPYTER_RUNTIME_DIR": "r", "IPYTHONDIR": "i"}
    own = {name: str(root / folder) for name, folder in names.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"),
        *(f"--ServerApp.token={_TOKEN}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={notebooks}"),
        *("--expose-app-in-browser", "--LabApp.extension_manager=readonly"),
    ]
    with open(root / "lab.log", "w") as log:
        server = subprocess.Popen(
            command, env={**inherited, **environment, **own}, stdout=log, stderr=subprocess.STDOUT, cwd=notebooks
        )
    try:
        _wait_for(address, server, root / "lab.log")
        for name, value in _SETTINGS.items():
            _put(address, name, value)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIET)
            yield Lab(notebooks, address, browser, environment)
            browser.close()
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + 60
    while True:
        with suppress(OSError):
            urllib.request.urlopen(f"{address}/api/status?token={_TOKEN}", timeout=5).close()
            return
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < give_up_at, log.read_text()
        time.sleep(0.1)


def _put(address: str, name: str, value: dict[str, object]) -> None:
    url = f"{address}/lab/api/settings/@jupyterlab/apputils-extension:{name}?token={_TOKEN}"
    body = json.dumps({"raw": json.dumps(value)}).encode()
    urllib.request.urlopen(urllib.request.Request(url, body, method="PUT"), timeout=10).close()
