"""Main's end of the nursery: starts it, asks it for children, hears of their deaths. Not for: what children do."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from goque.errors import GoqueError
from goque.worker.channel import wire
from goque.worker.channel.environment import environment_of_children

log = logging.getLogger("goque.worker")

START_TIMEOUT = 60.0


class Death(NamedTuple):
    """A child has ended; ``status`` as ``os.wait`` gives it."""

    pid: int
    status: int
    cpu_s: float
    max_rss: int


class NurseryLost(GoqueError):
    """The nursery ended, and all children with it."""


class NotBorn(GoqueError):
    """The system refused another process."""


class Hatchery:
    """One nursery and the socket to it. Used from one thread."""

    def __init__(self, *, threads: int | None = 1) -> None:
        """``threads`` is what numeric libraries may start in each child; None leaves that to them."""
        self._threads = threads
        self._link: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths: list[Death] = []

    def start(self) -> None:
        """Start the nursery and wait until it is there.

        Raises:
            NurseryLost: it did not start; the message holds what it printed.
        """
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "goque.worker.child.nursery", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                pass_fds=[theirs.fileno()],
                env=environment_of_children(self._threads),
                start_new_session=True,
            )
            theirs.close()
            self._link = ours
            ours.settimeout(START_TIMEOUT)
            try:
                wire.send(ours, {"path": sys.path, "pythonpath": os.environ.get("PYTHONPATH")})
                ready = wire.receive(ours)
            except OSError:
                ready = None
            if ready is None:
                self.close()
                output.seek(0)
                printed = output.read(4000).decode("utf-8", "replace")
                raise NurseryLost(f"the process that starts the children did not start; it printed:\n{printed}")

    @property
    def socket(self) -> socket.socket:
        """Readable when there is news. ``read`` it."""
        if self._link is None:
            raise NurseryLost("the process that starts the children is not running")
        return self._link

    def fork(self, rules: dict[str, Any], descriptors: Sequence[int]) -> int:
        """A new child with these descriptors; its pid.

        Raises:
            NotBorn: the system refused another process.
            NurseryLost: the nursery is gone.
        """
        try:
            wire.send(self.socket, {"fork": rules, "count": len(descriptors)})
            wire.send_descriptors(self.socket, list(descriptors))
            while True:
                message = self._next()
                if "born" in message:
                    return int(message["born"])
                if "failed" in message:
                    raise NotBorn(f"no child could be started: {message['failed']}; see ulimit -u and free memory")
        except OSError as error:
            raise NurseryLost("the process that starts the children is gone") from error

    def kill(self, pid: int) -> None:
        """Kill a child, if it still lives."""
        try:
            wire.send(self.socket, {"kill": pid})
        except (OSError, NurseryLost) as error:
            log.debug("no nursery to kill child %s: %s", pid, error)

    def read(self) -> list[Death]:
        """Deaths since the last call; waits for one message if there are none. Call it when the socket is readable.

        Raises:
            NurseryLost: the nursery is gone.
        """
        if not self._deaths:
            try:
                self._next()
            except OSError as error:
                raise NurseryLost("the process that starts the children is gone") from error
        return self.heard()

    @property
    def running(self) -> bool:
        """Whether there is a nursery."""
        return self._link is not None

    @property
    def has_news(self) -> bool:
        """Whether ``heard`` has something, without the socket being readable."""
        return bool(self._deaths)

    def heard(self) -> list[Death]:
        """Deaths that were heard of while something else was asked."""
        deaths, self._deaths = self._deaths, []
        return deaths

    def close(self) -> None:
        """End the nursery and every child."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is not None:
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _next(self) -> dict[str, Any]:
        message = wire.receive(self.socket)
        if message is None:
            raise NurseryLost("the process that starts the children is gone")
        if "dead" in message:
            self._deaths.append(Death(message["dead"], message["status"], message["cpu"], message["rss"]))
        return message
