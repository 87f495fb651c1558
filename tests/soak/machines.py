"""A durable server that can be killed, filled up and cut off, and the network in between. Not for: what is asserted."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from goque.postgres import scratch
from goque.postgres.postmaster import server_identity
from tests.servers import programs, wait_for


class Server:
    """PostgreSQL with its durable defaults in a folder of its own; over TCP on loopback where ``port`` is given."""

    def __init__(
        self, folder: Path, major: int = 18, *, port: int | None = None, settings: tuple[str, ...] = ()
    ) -> None:
        self.data = folder / "data"
        self.port = port
        self.dsn = f"postgresql://postgres@/postgres?host={folder}"
        self._folder = folder
        self._programs = programs(major)
        address = f"listen_addresses={'127.0.0.1' if port else ''}"
        chosen = (address, f"port={port or 5432}", "max_connections=60", *settings)
        self._options = [part for setting in chosen for part in ("-c", setting)]
        if port:
            self.dsn += f"&port={port}"
        self._as: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL} | server_identity()
        self._process: subprocess.Popen[bytes] | None = None
        made = [self._programs / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run(made, check=True, capture_output=True, **self._as)

    def start(self) -> None:
        """Start it, after a crash too, and wait until it answers."""
        self.kill()
        with (self._folder / "log").open("ab") as log:
            command: list[Any] = [self._programs / "postgres", "-D", self.data, "-k", self._folder, *self._options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as)
        wait_for(self.dsn)

    @property
    def alive(self) -> bool:
        """Whether its postmaster runs."""
        return self._process is not None and self._process.poll() is None

    def family(self) -> list[psutil.Process]:
        """The postmaster and its backends."""
        if self._process is None or not self.alive:
            return []
        main = psutil.Process(self._process.pid)
        return [main, *main.children(recursive=True)]

    def kill(self) -> None:
        """End all of it at once, as a power cut would."""
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait()
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop it in order, its sessions cut."""
        if self._process is not None and self.alive:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)

    def log(self) -> str:
        """What it has written."""
        return (self._folder / "log").read_text(errors="replace")


@contextmanager
def folder(size: str | None = None) -> Iterator[Path]:
    """A folder for a server; on a disk of its own of this size where one is given, for which one must be root."""
    with scratch.directory() as path:
        if size is None:
            yield path
            return
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
        try:
            identity = server_identity()
            if identity:
                os.chown(path, identity["user"], identity["group"])
            yield path
        finally:
            subprocess.run(["umount", "-l", path], check=True)


class Disk:
    """A disk that can be full."""

    def __init__(self, path: Path) -> None:
        self._filler = path / "filler"

    def fill(self) -> None:
        """Take all that is free."""
        free = shutil.disk_usage(self._filler.parent).free
        with self._filler.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(free - 4096, 1))
            while True:
                file.write(b"\0" * 65_536)

    def relieve(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)


class Proxy:
    """The network between workers and a server over TCP: it can be cut, fall silent, be slow, or lose connections."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.delay = 0.0
        """Seconds that each piece takes."""
        self.loss = 0.0
        """The share of pieces with which their connection breaks."""
        self._open = True
        self._silent = threading.Event()
        self._refuses = False
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        self._refuses = True
        self._break()

    def silence(self) -> None:
        """Pass nothing on any more, in either direction, and tell nobody: connections look open to both sides."""
        self._silent.set()

    def mend(self) -> None:
        """Pass everything on again. What had fallen silent stays so: those connections are broken now."""
        self._refuses, self.delay, self.loss = False, 0.0, 0.0
        if self._silent.is_set():
            self._silent.clear()
            self._break()

    def close(self) -> None:
        """Give up."""
        self._open = False
        self._break()
        self._listener.close()

    def _break(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            pair = client, server
            with self._lock:
                self._pairs.add(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._carry, args=(source, sink, pair), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                while self._silent.is_set():
                    time.sleep(0.05)
                if self.delay:
                    time.sleep(self.delay)
                if self.loss and random.random() < self.loss:
                    break
                sink.sendall(piece)
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
