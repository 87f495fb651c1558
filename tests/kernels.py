"""Waiting, interrupts and the live panel in kernels of several versions, which differ in threads and signals.

``python -m tests.kernels 6.31.0 7.3.0 7.4.0`` fetches each from PyPI and tries it; a test tries the installed one. Not
for: what a browser shows (``tests/scenarios/test_browser.py``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from goque.postgres import embedded, scratch

Message = dict[str, Any]

SETUP = """
import asyncio, os, time
import ipykernel
from goque import Queue
q = Queue(workers=2)
def hold(gate):
    while not os.path.exists(gate):
        time.sleep(0.02)
    return gate
batch = q.map(hold, [os.environ["GATE"]] * 3)
ipykernel.__version__
"""
PROMPT_S = 3.0
"""An interrupt ends the waiting within this time."""


class Kernel:
    """A kernel, and what it says."""

    def __init__(self, manager: KernelManager) -> None:
        self._manager = manager
        self._client = manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def start(self, code: str) -> str:
        """Run a cell, without waiting for it."""
        return str(self._client.execute(code))

    def heard(self, true: Callable[[Message], bool], what: str) -> Message:
        """The next message of which this is true."""
        give_up_at = time.monotonic() + 60
        while time.monotonic() < give_up_at:
            message: Message = self._client.get_iopub_msg(timeout=60)
            if true(message):
                return message
        raise AssertionError(f"waited in vain for {what}")

    def ended(self, cell: str) -> Message:
        """The last result or error of a cell, once it has ended."""
        found: Message = {}

        def idle(message: Message) -> bool:
            if message["parent_header"].get("msg_id") != cell:
                return False
            if message["msg_type"] in ("execute_result", "error"):
                found.update(message["content"])
            return bool(message["msg_type"] == "status" and message["content"]["execution_state"] == "idle")

        self.heard(idle, "the end of a cell")
        return found

    def run(self, code: str) -> str:
        """What a cell gives, as text."""
        found = self.ended(self.start(code))
        assert "ename" not in found, found
        return str(found.get("data", {}).get("text/plain", ""))

    def interrupted(self, cell: str) -> str:
        """Interrupt a cell; what it ends with."""
        began = time.monotonic()
        self._manager.interrupt_kernel()
        found = self.ended(cell)
        assert time.monotonic() - began < PROMPT_S, "an interrupt took too long"
        return f"{found['ename']}: {found['evalue']}"

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@contextmanager
def kernel(environment: dict[str, str]) -> Iterator[Kernel]:
    """A kernel for the block."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, **environment})
    made = Kernel(manager)
    try:
        yield made
    finally:
        made.close()


def attempt(environment: dict[str, str], gate: Path) -> str:
    """Try one kernel; its version. ``environment`` says where the queue is."""
    with kernel({**environment, "GATE": str(gate)}) as tried:
        version = tried.run(SETUP).strip("'")
        # A bar that blocks, with the panel kept live by its thread meanwhile.
        cell = tried.start("batch.progress()")
        tried.heard(lambda message: "running longest" in str(message["content"]), "a live panel")
        said = tried.interrupted(cell)
        assert "stopped waiting; 0 of 3 tasks have ended and the rest go on" in said, said
        for wait, ends in (("batch.results()", ("KeyboardInterrupt",)), ("await batch", ("KeyboardInterrupt", "Canc"))):
            cell = tried.start(f"print('now')\n{wait}")
            tried.heard(lambda message: message["msg_type"] == "stream", "the cell's first word")
            assert tried.interrupted(cell).startswith(ends), wait
        assert tried.run("batch.counts()") in ("{'processing': 2, 'new': 1}", "{'new': 1, 'processing': 2}")
        # The panel of an earlier cell goes on while another one computes.
        cell = tried.start("while not os.path.exists(os.environ['GATE'] + '.seen'):\n    time.sleep(0.02)")
        gate.touch()
        tried.heard(lambda message: "3 of 3 ended" in str(message["content"]), "the last state")
        Path(f"{gate}.seen").touch()
        assert "ename" not in tried.ended(cell)
        assert tried.run("len(await batch)") == "3"
        tried.run("q.close()")
    return version


def main(versions: list[str]) -> None:
    """Fetch and try these versions of ipykernel."""
    for version in versions:
        with scratch.directory() as folder:
            packages = folder / "packages"
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
            subprocess.run([*pip, "--target", str(packages), f"ipykernel=={version}"], check=True)
            try:
                tried = attempt({"GOQUE_HOME": str(folder), "PYTHONPATH": str(packages)}, folder / "gate")
            finally:
                embedded.stop(folder)
            assert tried == version, tried
            print(f"ipykernel {version}: waiting, interrupts and the live panel are as they should be")


if __name__ == "__main__":
    main(sys.argv[1:])
