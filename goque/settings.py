"""What the environment and the caller decide, read once. Not for: options of tasks (``model.options``)."""

from __future__ import annotations

import getpass
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from goque.errors import InvalidInput

_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the queue is and who asks. A repr shows neither the address nor the secret.

    ``dsn`` is None for the embedded server under ``home``. An empty ``secret`` is one that somebody failed to set.
    """

    dsn: str | None
    home: Path
    owner: str
    schema: str
    secret: str | None

    def __repr__(self) -> str:
        return f"Settings(home={str(self.home)!r}, owner={self.owner!r}, schema={self.schema!r})"

    @property
    def embedded(self) -> bool:
        """Whether the queue lives in the embedded server."""
        return self.dsn is None

    @property
    def key_file(self) -> Path:
        """The key file of the embedded server."""
        return self.home / "key"


def read(
    dsn: str | None = None,
    *,
    schema: str | None = None,
    owner: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from arguments, then from ``GOQUE_DSN``, ``_HOME``, ``_OWNER``, ``_SCHEMA`` and ``_SECRET``."""
    name = schema or environ.get("GOQUE_SCHEMA") or "goque"
    if "\x00" in name or '"' in name or len(name.encode(errors="replace")) > 63:
        raise InvalidInput(f"a schema name has 1 to 63 bytes and no quote, got {name!r}")
    who = owner or environ.get("GOQUE_OWNER") or _user()
    if "/" in who or "\x00" in who:
        raise InvalidInput(f"an owner may not contain '/': it separates owner and batch name; got {who!r}")
    address = dsn or environ.get("GOQUE_DSN") or None
    for what, text in (("a DSN", address or ""), ("a schema name", name), ("an owner", who)):
        if _HALF.search(text):
            raise InvalidInput(f"{what} holds half a character (a surrogate), which is no text to PostgreSQL")
    return Settings(
        dsn=address,
        home=Path(environ.get("GOQUE_HOME") or _data_directory(environ)).expanduser().absolute(),
        owner=who,
        schema=name,
        secret=environ.get("GOQUE_SECRET"),
    )


def dsn_for_tests(environ: Mapping[str, str] = os.environ) -> str | None:
    """The server that tests of users make their databases on (``GOQUE_TEST_DSN``); None for an embedded one."""
    return environ.get("GOQUE_TEST_DSN") or None


def seconds_left(environ: Mapping[str, str] = os.environ, *, now: float | None = None) -> float | None:
    """Seconds until the batch job that this process belongs to is ended (Slurm's ``SLURM_JOB_END_TIME``, since 22.05).

    None where there is no such job. ``now`` is the time since 1970.
    """
    end = environ.get("SLURM_JOB_END_TIME", "")
    return max(0.0, int(end) - (time.time() if now is None else now)) if end.isdigit() else None


def usable_cores(environ: Mapping[str, str] = os.environ) -> int:
    """Cores this process may use: affinity, the cgroup's quota and ``SLURM_CPUS_PER_TASK``, whichever is least."""
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    allotted = environ.get("SLURM_CPUS_PER_TASK", "")
    if allotted.isdigit():
        limits.append(int(allotted))
    quota = _cgroup_quota()
    if quota is not None:
        limits.append(int(quota))
    return max(1, min(limits))


def _cgroup_quota() -> float | None:
    """The processor quota of this cgroup in cores, None where there is none (cgroup v2, then v1)."""
    try:
        group = Path("/proc/self/cgroup").read_text().split("::", 1)[1].splitlines()[0].strip("/")
    except (OSError, IndexError):
        group = ""
    for folder in (Path("/sys/fs/cgroup") / group, Path("/sys/fs/cgroup")):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            return int(quota) / int(period)
    try:
        quota = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text()
        period = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text()
    except OSError:
        return None
    return int(quota) / int(period) if int(quota) > 0 else None


def _data_directory(environ: Mapping[str, str]) -> Path:
    if os.geteuid() == 0:
        # PostgreSQL does not run as root, and its own user may not enter /root.
        return Path("/var/lib/goque")
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/goque")
    return Path(environ.get("XDG_DATA_HOME") or "~/.local/share") / "goque"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid{os.getuid()}"
