"""Notebook cells without a kernel, and fresh interpreters to compare with."""

from __future__ import annotations

import linecache
import os
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run_cell(source: str, namespace: dict[str, Any] | None = None, *, kernel: int = 123) -> dict[str, Any]:
    """Run source as ipykernel does: in ``__main__``, from a file that does not exist, its lines in linecache."""
    source = textwrap.dedent(source)
    filename = f"/tmp/ipykernel_{kernel}/{zlib.crc32(source.encode())}.py"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = {"__name__": "__main__"} if namespace is None else namespace
    exec(compile(source, filename, "exec"), namespace)
    return namespace


def run_python(script: str, *arguments: str, hash_seed: int = 0, folder: Path | None = None) -> str:
    """What a fresh interpreter prints for this script; this folder can be imported from there."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
