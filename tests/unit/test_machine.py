"""What keeps the embedded server off a place where it would lose data."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from goque.errors import ServerError
from goque.postgres import machine

_MOUNTS = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /home rw - nfs4 server:/home rw
31 30 0:31 / /home/me/scratch rw shared:1 - xfs /dev/sdb rw
32 22 0:32 / /with\040space rw - fuse.sshfs me@there: rw
33 22 0:33 / /box rw - 9p host rw
34 22 0:34 / /later rw - ext4 /dev/vdc rw
35 22 0:35 / /later rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/lib", ("ext4", "/")),
        ("/home/me/.local/share", ("nfs4", "/home")),
        ("/home/me/scratch/goque", ("xfs", "/home/me/scratch")),
        ("/homes", ("ext4", "/")),
        ("/with space/x", ("fuse.sshfs", "/with space")),
        ("/later/x", ("cifs", "/later")),
    ],
)
def test_the_innermost_and_last_mount_holds_a_path(path: str, expected: tuple[str, str]) -> None:
    assert machine.file_system(Path(path), _MOUNTS) == expected


@pytest.mark.parametrize("path", ["/home/me", "/with space", "/box", "/later"])
def test_network_file_systems_are_refused_with_the_remedy(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = machine.file_system
    monkeypatch.setattr(machine, "file_system", lambda where: read(where, _MOUNTS))
    with pytest.raises(ServerError, match="GOQUE_HOME"):
        machine.refuse_network_file_system(Path(path))
    machine.refuse_network_file_system(Path("/home/me/scratch"))


def test_a_sandbox_root_is_no_network_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "file_system", lambda _: ("9p", "/"))
    machine.refuse_network_file_system(Path("/home"))


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_JOB_ID": "1"},
        {"PBS_JOBID": "1.x"},
        {"LSB_JOBID": "1"},
        {"JOB_ID": "1", "SGE_TASK_ID": "undefined"},
    ],
)
def test_batch_jobs_are_refused_with_the_remedy(environment: dict[str, str]) -> None:
    with pytest.raises(ServerError, match="GOQUE_DSN"):
        machine.refuse_batch_job(environment)


@pytest.mark.parametrize("environment", [{}, {"JOB_ID": "1"}, {"SGE_ROOT": "/opt/sge"}, {"SLURM_JOB_ID": ""}])
def test_a_login_node_is_no_batch_job(environment: dict[str, str]) -> None:
    machine.refuse_batch_job(environment)


def test_a_stamp_is_ours_until_another_machine_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = tmp_path / "machine"
    assert not machine.refuse_other_machine(stamp)
    machine.put_stamp(stamp)
    assert machine.refuse_other_machine(stamp)
    monkeypatch.setattr(machine, "machine_id", lambda: "another")
    with pytest.raises(ServerError, match="another machine") as caught:
        machine.refuse_other_machine(stamp)
    assert f"remove {stamp}" in str(caught.value)


def test_a_machine_has_an_id() -> None:
    assert machine.machine_id() == machine.machine_id() != ""


def test_a_full_disk_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.refuse_full_disk(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 << 20))
    with pytest.raises(ServerError, match="5 MB left"):
        machine.refuse_full_disk(tmp_path)


def test_the_first_closed_directory_on_a_way_is_named(tmp_path: Path) -> None:
    inner = tmp_path / "open" / "closed" / "inner"
    inner.mkdir(parents=True)
    for place in (inner, inner.parent, inner.parent.parent):
        place.chmod(0o755)
    inner.parent.chmod(0o700)
    stranger, me = os.getuid() + 4242, os.getuid()
    closed = machine.closed_directory(inner, stranger, frozenset())
    assert closed is not None
    assert closed in (inner.parent, *tmp_path.parents, tmp_path)
    if closed == inner.parent:
        inner.parent.chmod(0o710)
        assert machine.closed_directory(inner, stranger, frozenset({inner.stat().st_gid})) is None
    assert machine.closed_directory(inner, me, frozenset()) is None
