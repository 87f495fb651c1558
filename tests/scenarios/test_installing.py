"""What a user gets who installs goque, without this checkout at hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_installation_into_an_empty_environment_brings_the_command_and_its_migrations(tmp_path: Path) -> None:
    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", environment)
    run(environment / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT)
    goque = environment / "bin/goque"
    assert run(goque, "--version").startswith("goque ")
    assert "create table goque.task (" in run(goque, "migrate", "--sql").lower().replace('"', "")
    where = run(environment / "bin/python", "-c", "import goque; print(goque.__file__)")
    assert Path(where.strip()).is_relative_to(environment)
