"""Workers that belong to a process, such as a notebook's kernel: they serve what it submitted, and end with it.

A local worker is a process in a session of its own, so that the notebook's stop button does not reach it. Its owner
holds the other end of its standard input and tells it there what to serve; when that end closes, however the owner
died, the worker hands back and ends. Not for: workers that serve everybody (``goque worker``).
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goque.model.manifest import App
from goque.payload.keys import KeyRing
from goque.settings import Settings

IDLE_EXIT_S = 60.0
GRACE_S = 8.0
_PROCESS = "goque.app.local_process"
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Seconds between two starts while somebody waits: twice as long each time, unless the worker has lived for long."""
TOLD_FROM_S = 8.0
"""From this pause on it is told that workers do not live."""

log = logging.getLogger("goque")


@dataclass(slots=True)
class LocalWorkers:
    """The local workers of one queue. Started at first use; another one is started when the last has ended."""

    settings: Settings
    dsn: str = field(repr=False)
    slots: int
    listen: bool = True
    _process: subprocess.Popen[bytes] | None = None
    _others: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _with_apps: subprocess.Popen[bytes] | None = None
    _lanes: set[int] = field(default_factory=set)
    _pid: int = field(default_factory=os.getpid)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _started_at: float = 0.0
    _pause: float = SHORTEST_PAUSE_S

    def serve(self, lanes: Iterable[int]) -> None:
        """Have the tasks of these lanes run here, by a worker that is started if there is none."""
        if self.slots < 1:
            return
        with self._lock:
            self._forget_after_fork()
            new = set(lanes) - self._lanes
            self._lanes |= new
            if self._process is not None and self._process.poll() is None and self._tell(self._process, sorted(new)):
                return
            self._start_own()

    def keep_alive(self, lanes: Iterable[int]) -> None:
        """Somebody waits for these lanes: replace the worker that was told to serve them, if it has ended."""
        process = self._process
        if process is None or self._pid != os.getpid() or process.poll() is None or self._lanes.isdisjoint(lanes):
            return
        with self._lock:
            past = time.monotonic() - self._started_at
            if self._process is not process or past < self._pause:
                return
            self._pause = min(2 * self._pause, LONGEST_PAUSE_S) if past < 2 * LONGEST_PAUSE_S else SHORTEST_PAUSE_S
            if self._pause == TOLD_FROM_S:
                log.warning(
                    "goque: local workers end soon after they start (exit code %s); %s",
                    process.returncode,
                    f"why: {self._log()}" if self._log() is not None else "goque worker in a terminal shows why",
                )
            self._start_own()

    def start(self, config: dict[str, Any], apps: Sequence[App] = ()) -> None:
        """One more worker, which ends with this process; it serves everybody unless ``config`` says otherwise.

        One with apps replaces the one before it, which hands back and ends: its code is that of an earlier day.
        """
        with self._lock:
            self._forget_after_fork()
            process = self._start(self._config(**config), apps)
            self._others = [*(one for one in self._others if one.poll() is None), process]
            if apps:
                before, self._with_apps = self._with_apps, process
                if before is not None and before.stdin is not None:
                    before.stdin.close()

    def served(self) -> set[int]:
        """The lanes that our own worker was told to serve; none when it was stopped, or is a parent's."""
        return set(self._lanes) if self._process is not None and self._pid == os.getpid() else set()

    def pids(self) -> list[int]:
        """The processes that live."""
        with self._lock:
            return [one.pid for one in (self._process, *self._others) if one is not None and one.poll() is None]

    def stop(self, *, wait: float = GRACE_S + 5.0) -> None:
        """End all of them in an orderly way."""
        with self._lock:
            self._forget_after_fork()
            processes = [one for one in (self._process, *self._others) if one is not None]
            self._process, self._with_apps, self._others = None, None, []
        for process in processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in processes:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _forget_after_fork(self) -> None:
        """A forked child does not own its parent's workers."""
        if self._pid != os.getpid():
            for process in (self._process, *self._others):
                if process is not None and process.stdin is not None:
                    process.stdin.close()
            self._process, self._with_apps, self._others, self._pid = None, None, [], os.getpid()
            self._lanes.clear()

    def _start_own(self) -> None:
        config = self._config(slots=self.slots, idle_exit=IDLE_EXIT_S, lanes=sorted(self._lanes))
        self._started_at = time.monotonic()
        self._process = self._start(config)

    def _config(self, **given: Any) -> dict[str, Any]:
        settled = {"owner": self.settings.owner, "grace": GRACE_S, "listen": self.listen}
        return {"local": "lanes" in given, **settled, **given}

    def _start(self, config: dict[str, Any], apps: Sequence[App] = ()) -> subprocess.Popen[bytes]:
        log = self._log()
        with open(log, "ab") if log is not None else open(os.devnull, "ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", _PROCESS],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        # The address and the secret go through the pipe: an argument list can be read by everybody.
        first = {
            "dsn": self.dsn,
            "schema": self.settings.schema,
            "secret": self.settings.secret,
            "key_file": str(self.settings.key_file) if self.settings.embedded else None,
            "config": config,
            "apps": [app.to_json() for app in apps],
        }
        self._write(process, first)
        return process

    def _log(self) -> Path | None:
        if not self.settings.embedded:
            return None
        folder = self.settings.home / "log"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return None
        return folder / "local-workers.log"

    def _tell(self, process: subprocess.Popen[bytes], lanes: Sequence[int]) -> bool:
        """Tell a worker what to serve; it may be ending just now, so its answer is that the pipe still works."""
        return self._write(process, {"serve": list(lanes)})

    @staticmethod
    def _write(process: subprocess.Popen[bytes], message: dict[str, Any]) -> bool:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return False
        return True


def ring_of(secret: str | None, key_file: Path | None, *, create: bool = False) -> KeyRing:
    """The keys of a process: from the secret where there is one, else from the key file, else none.

    Raises:
        InvalidInput: the secret is empty or too short, or the key file cannot be used.
    """
    if secret is not None:
        return KeyRing.from_text(secret)
    if key_file is not None:
        return KeyRing.from_file(key_file, create=create)
    return KeyRing.empty()
