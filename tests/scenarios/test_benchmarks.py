"""A benchmark as a command, small: figures of both sides and what is compared, for people and for machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys


def bench(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
    command = [sys.executable, "-m", "goque.cli", "bench", *arguments, "--rounds", "1", "--tasks", "2000"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_figures_for_machines() -> None:
    told = json.loads(bench("enqueue", "drain", "--json"))["questions"]
    assert set(told) == {"enqueue", "drain"}
    rates = {name: one["median"] for name, one in told["enqueue"]["figures"].items()}
    assert rates.keys() == {"raw COPY", "goque map"}
    [goal] = told["enqueue"]["goals"]
    assert goal["value"] == rates["goque map"] / rates["raw COPY"]
    assert goal["reached"] == (goal["value"] >= goal["least"])
    assert told["drain"]["figures"]["goque, 1 worker"]["median"] > 0


def test_an_unknown_question_is_told_with_those_there_are() -> None:
    command = [sys.executable, "-m", "benchmarks", "speed"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "no such question: speed" in done.stderr
    assert "enqueue" in done.stderr
