"""Whether this machine, this moment and this directory may hold the embedded server. Not for: starting it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from goque.errors import ServerError

_BATCH_JOBS = {"SLURM_JOB_ID": "Slurm", "PBS_JOBID": "PBS", "LSB_JOBID": "LSF"}
# fmt: off
_NETWORK_FILE_SYSTEMS = frozenset((
    "9p", "afpfs", "afs", "beegfs", "ceph", "cephfs", "cifs", "drvfs", "fhgfs", "fuse.ceph", "fuse.gcsfuse",
    "fuse.glusterfs", "fuse.juicefs", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb2", "smb3", "smbfs", "webdav", "wekafs",
))
# fmt: on
_USE_A_SERVER = "give a DSN instead: Queue('postgresql://host/database') or GOQUE_DSN"
_ROOM_FOR_CLUSTER = 120 << 20  # an empty cluster with its first WAL segments, bytes


def refuse_batch_job(environment: Mapping[str, str]) -> None:
    """A job's nodes come and go and share directories, so its queue must be a server that it names."""
    names = [name for name in _BATCH_JOBS if environment.get(name)]
    if environment.get("JOB_ID") and any(name.startswith("SGE_") for name in environment):
        names.append("JOB_ID")
    if names:
        scheduler = _BATCH_JOBS.get(names[0], "Grid Engine")
        raise ServerError(
            f"This process is a {scheduler} batch job ({names[0]} is set), where the embedded server is not started: "
            f"another node on the same directory would lose data. Please {_USE_A_SERVER}."
        )


def machine_id() -> str:
    """What tells this machine from others and stays over a reboot."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with suppress(OSError):
            if found := Path(path).read_text(encoding="ascii", errors="replace").strip():
                return found
    if platform.system() == "Darwin":
        with suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run(
                ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"], capture_output=True, text=True, timeout=10
            ).stdout
            if match := re.search(r'"IOPlatformUUID" = "([^"]+)"', said):
                return match[1]
    return f"host:{socket.gethostname()}"


def refuse_other_machine(stamp: Path) -> bool:
    """Whether the directory bears this machine's stamp; ``ServerError`` if it bears another's, False if none yet."""
    try:
        stamped = stamp.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ServerError(f"{stamp} cannot be read ({error.strerror}); make it readable, or set GOQUE_HOME.") from error
    if stamped[:1] == [machine_id()]:
        return True
    owner = stamped[1] if len(stamped) > 1 else "another machine"
    raise ServerError(
        f"The server directory {stamp.parent} belongs to another machine ({owner}; this is "
        f"{socket.gethostname()}): two "
        f"machines on one data directory lose data. Set GOQUE_HOME to a local directory of this machine, or "
        f"{_USE_A_SERVER}. If the directory was moved here for good and no other machine uses it, remove {stamp}."
    )


def put_stamp(stamp: Path) -> None:
    """Mark the directory as this machine's; whole or not at all."""
    draft = stamp.with_name(stamp.name + ".new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(f"{machine_id()} {socket.gethostname()}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(stamp)


def refuse_network_file_system(path: Path) -> None:
    """PostgreSQL's files and locks need a local file system."""
    kind, mount = file_system(path)
    # Some sandboxes have their own root on 9p; nobody else mounts that.
    if kind in _NETWORK_FILE_SYSTEMS and (kind, mount) != ("9p", "/"):
        raise ServerError(
            f"{path} lies on a network file system ({kind} at {mount}), where a server may lose data. Set "
            "GOQUE_HOME to "
            f"a directory on a local disk, or {_USE_A_SERVER}."
        )


def file_system(path: Path, table: str | None = None) -> tuple[str, str]:
    """Type and mount point of the file system that holds a path, ("", "") if it cannot be told."""
    mounts = _mounts(table)
    real = path.resolve()
    for place in (real, *real.parents):
        if str(place) in mounts:
            return mounts[str(place)], str(place)
    return "", ""


def short_of_space(path: Path) -> bool:
    """Whether the disk lacks the room for a new cluster."""
    return shutil.disk_usage(path).free < _ROOM_FOR_CLUSTER


def refuse_full_disk(path: Path) -> None:
    """Better before than in the middle of it."""
    if short_of_space(path):
        raise ServerError(
            f"{path} has {shutil.disk_usage(path).free >> 20} MB left, the embedded server needs "
            f"{_ROOM_FOR_CLUSTER >> 20} MB to begin with. Free some space, set GOQUE_HOME to a directory on a larger "
            f"disk, or {_USE_A_SERVER}."
        )


def closed_directory(path: Path, user: int, groups: frozenset[int]) -> Path | None:
    """The first directory on the way to ``path``, itself included, that this user may not enter."""
    for place in (*reversed(path.resolve().parents), path.resolve()):
        found = place.stat()
        if found.st_uid == user:
            bit = stat.S_IXUSR
        elif found.st_gid in groups:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not found.st_mode & bit:
            return place
    return None


def _mounts(table: str | None) -> dict[str, str]:
    """Mount point to type; of several mounts on one point the last is the one that is seen."""
    if table is None:
        try:
            table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return _mounts_of_darwin()
    found = {}
    for line in table.splitlines():
        left, _, right = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), left.split()[4])
        found[point] = right.split()[0]
    return found


def _mounts_of_darwin() -> dict[str, str]:
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=10).stdout
        return dict(re.findall(r"^.* on (/.*) \((\w+)", said, re.MULTILINE))
    return {}
