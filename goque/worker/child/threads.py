"""A child with many slots: a thread for each, and one event loop for their coroutines. Not for: process children."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import threading
from collections.abc import Coroutine
from typing import Any
from weakref import WeakValueDictionary

from goque.worker.channel.capture import Log
from goque.worker.channel.protocol import CONTROL, INTERRUPTED
from goque.worker.child.runner import Answered, Interrupted, LoadedProgram, Reply, Runner
from goque.worker.child.serving import Ends, Rules, Server
from goque.worker.child.streams import Streams
from goque.worker.task import context


class Loop:
    """The event loop of this child, in a thread of its own from the first coroutine on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="goque-loop", daemon=True).start()
            return self._loop


class GuardedRunner(Runner):
    """Runs the jobs of one slot so that another thread can interrupt them, and only them."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(self._wait_on_loop)
        self._loop = loop
        self._lock = threading.Lock()
        self._serial = 0
        self._interrupted = False
        self._on_loop = False
        self._thread = 0
        self._task: asyncio.Task[Any] | None = None

    def run(self, program: LoadedProgram, fields: tuple[Any, ...], serial: int) -> Reply:
        """As a plain runner; ``Interrupted`` may come out of any line up to ``_settled``, and is caught here."""
        try:
            with self._lock:
                self._thread = threading.get_ident()
                self._interrupted = self._on_loop = False
                self._serial = serial
            reply = super().run(program, fields, serial)
            with self._lock:
                self._serial = 0
            _settled()
        except Interrupted:
            # It is raised once for a serial, so from here on nothing can come in between.
            with self._lock:
                self._serial = 0
            reply = (INTERRUPTED, b"", b"")
        return reply

    def interrupt(self, serial: int) -> None:
        """Called by another thread: stop this job, if it is still the one that runs."""
        with self._lock:
            if self._serial != serial or self._interrupted:
                return
            self._interrupted = True
            if self._on_loop:
                # Comes after ``start``, which was put into the same queue before.
                self._loop.get().call_soon_threadsafe(self._cancel, serial)
            else:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(Interrupted))

    def _cancel(self, serial: int) -> None:
        if self._task is not None and self._serial == serial:
            self._task.cancel()

    def _wait_on_loop(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Waits for its real end: a cancelled coroutine runs on until its cleanup is done."""
        ended = threading.Event()

        def start() -> None:
            self._task = asyncio.get_running_loop().create_task(coroutine)
            self._task.add_done_callback(lambda _: ended.set())

        with self._lock:
            self._on_loop = True
        _settled()  # an interrupt from before that line must not leave the coroutine running by itself
        self._loop.get().call_soon_threadsafe(start)
        ended.wait()
        task, self._task = self._task, None
        assert task is not None
        if task.cancelled() and self._interrupted:
            raise Answered
        return task.result()


def _settled() -> None:
    """A call is a place where a pending asynchronous exception is delivered at the latest."""


def serve(rules: Rules, ends: list[Ends], control: int, common: Log) -> None:
    """Serve all lines until main closes them and the control pipe."""
    Streams(lambda: attempt.log if (attempt := context.attempt_here()) else common)
    loop = Loop()
    library: WeakValueDictionary[str, LoadedProgram] = WeakValueDictionary()
    runners = [GuardedRunner(loop) for _ in ends]
    threads = []
    for line, (end, runner) in enumerate(zip(ends, runners, strict=True)):
        server = Server(end, runner, rules, rules.slot + line, library, None)
        threads.append(threading.Thread(target=_serve_line, args=(server,), name=f"goque-slot-{line}", daemon=True))
    for thread in threads:
        thread.start()
    while order := os.read(control, CONTROL.size):
        line, serial = CONTROL.unpack(order)
        runners[line].interrupt(serial)
    for thread in threads:
        thread.join()


def _serve_line(server: Server) -> None:
    try:
        server.serve()
    except BrokenPipeError:
        os._exit(0)  # main is gone
    except BaseException:
        logging.getLogger("goque.worker").exception("a slot's thread failed")
        os._exit(1)
