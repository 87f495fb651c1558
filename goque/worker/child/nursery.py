"""The nursery: a small single-threaded process that forks the children. Not for: running tasks, or deciding anything.

Main has threads, and a fork of a threaded process is a lottery; so children are forked here. It is run as
``python -m goque.worker.child.nursery DESCRIPTOR``. When main dies, kill -9 included, it kills all children and ends.

Requests on the socket: ``fork`` (with the child's descriptors), ``kill``. Answers: ``ready``, ``born``, ``dead``.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import types
from contextlib import suppress
from typing import Any

from goque.worker.channel.wire import receive, receive_descriptors, send
from goque.worker.child import serving, threads  # noqa: F401 - forked children find their modules loaded

LOOK_AT_PARENT = 1.0
"""Seconds. A fork of main may hold the socket open after main has died, so its end is not the only sign."""


class Nursery:
    """Forks on request, and tells of deaths."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._alive: set[int] = set()
        self._parent = os.getppid()
        self._me = os.getpid()

    def run(self) -> None:
        """Until main closes the socket or is gone."""
        bell, clapper = os.pipe()
        os.set_blocking(bell, False)
        os.set_blocking(clapper, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(clapper, warn_on_full_buffer=False)
        send(self._link, {"ready": self._me})
        while os.getppid() == self._parent:
            readable, _, _ = select.select([self._link.fileno(), bell], [], [], LOOK_AT_PARENT)
            if bell in readable:
                os.read(bell, 4096)
                self._bury()
            if self._link.fileno() in readable:
                request = receive(self._link)
                if request is None:
                    return
                self._answer(request)

    def kill_all(self) -> None:
        """End every child, and what it started."""
        for pid in self._alive:
            _kill(pid)

    def _answer(self, request: dict[str, Any]) -> None:
        if "kill" in request:
            # Only here is it certain that the number still means that child: nobody else waits for it.
            if request["kill"] in self._alive:
                _kill(request["kill"])
            return
        descriptors = receive_descriptors(self._link, request["count"])
        rules = serving.Rules(**request["fork"])
        try:
            pid = os.fork()
        except OSError as error:  # a limit on processes or memory
            pid = -1
            send(self._link, {"failed": str(error)})
        if pid == 0:
            self._link.close()
            serving.main(rules, descriptors, self._me)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid < 0:
            return
        self._alive.add(pid)
        with suppress(OSError):  # it did so itself, or is dead already
            os.setpgid(pid, pid)
        send(self._link, {"born": pid})

    def _bury(self) -> None:
        while self._alive:
            pid = _who_died()
            if not pid:
                return
            _kill_group(pid)
            pid, status, usage = os.wait4(pid, os.WNOHANG)
            if not pid:
                return
            self._alive.discard(pid)
            unit = 1 if sys.platform == "darwin" else 1024
            report = {"dead": pid, "status": status, "cpu": usage.ru_utime + usage.ru_stime}
            send(self._link, {**report, "rss": usage.ru_maxrss * unit})


def _who_died() -> int:
    """A dead child that was not yet waited for, so that its process group cannot be anybody else's."""
    if hasattr(os, "waitid"):
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return 0 if found is None else found.si_pid
    return -1


def _kill(pid: int) -> None:
    _kill_group(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    """What a task started ends with its child, unless it made a session of its own."""
    with suppress(ProcessLookupError, PermissionError):
        if pid > 0:
            os.killpg(pid, signal.SIGKILL)


def main(descriptor: int) -> None:
    """Run the nursery on this socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = socket.socket(fileno=descriptor)
    link.set_inheritable(False)
    settings = receive(link)
    if settings is None:
        return
    sys.path[:] = settings["path"]
    os.environ.pop("PYTHONPATH", None)
    if settings["pythonpath"] is not None:
        os.environ["PYTHONPATH"] = settings["pythonpath"]
    # Tasks from notebooks live in __main__; they must not find the nursery there.
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = [""]
    gc.collect()
    gc.freeze()
    nursery = Nursery(link)
    try:
        with suppress(OSError, EOFError):  # main is gone
            nursery.run()
    finally:
        nursery.kill_all()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
