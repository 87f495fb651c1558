"""The demo on a few files: what it shows, and that it leaves nothing running. ``make demo`` runs it on all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from pathlib import Path

import psutil

from goque.app.survey import survey
from goque.cli.demo import chosen, sources
from goque.postgres import embedded


def demo(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
    command = [sys.executable, "-m", "goque.cli", "demo", *options]
    return subprocess.run(
        command, env=environment | {"GOQUE_HOME": str(home)}, capture_output=True, text=True, timeout=100
    )


def alive_in(home: Path) -> list[str]:
    """Command lines of processes that have to do with this home."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "environ"]):
        variables = process.info["environ"] or {}
        line = " ".join(process.info["cmdline"] or ())
        if process.pid != os.getpid() and (str(home) in line or variables.get("GOQUE_HOME") == str(home)):
            found.append(line)
    return found


def test_the_demo_shows_functions_failures_and_how_to_go_on_and_leaves_nothing_running(server_home: Path) -> None:
    done = demo(server_home, "--limit", "150")
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    table = shown.split("most complex functions")[1].split("q.history")[0].strip().splitlines()
    assert table[0].split() == ["COMPLEXITY", "FUNCTION", "WHERE"]
    assert len(table) == 11
    numbers = [int(line.split()[0]) for line in table[1:]]
    assert numbers == sorted(numbers, reverse=True)
    assert "query(\"status=='error'\")" in shown
    assert "150 files" in shown
    assert "files/s" in shown
    assert "goque history --batch" in shown
    assert "150 of 150 ended" in done.stderr
    assert "Traceback" not in done.stderr
    assert max(map(len, shown.splitlines())) <= 120
    assert not embedded.status(server_home).running
    assert alive_in(server_home) == []


def test_files_that_do_not_parse_are_grouped_by_their_error(server_home: Path) -> None:
    expected = Counter[str]()
    for file in chosen(sources(Path(sysconfig.get_path("stdlib"))), 300):
        try:
            survey(file)
        except Exception as error:
            expected[type(error).__name__] += 1
    done = demo(server_home, "--limit", "300")
    assert done.returncode == 0, done.stderr
    shown = [line.split() for line in done.stdout.split("by error_type")[1].split("files with")[0].splitlines()]
    found = {words[0]: int(words[1]) for words in shown if len(words) > 2 and words[1].isdigit() and words[0].isalpha()}
    assert found == expected
    assert ("none of these files failed" in done.stdout) == (not expected)


def test_a_server_that_ran_before_the_demo_runs_after_it_with_a_batch_for_each_time(server_home: Path) -> None:
    from goque.postgres.database import Database
    from goque.queries import reading
    from goque.settings import read

    dsn = embedded.ensure(server_home)
    for _ in range(2):
        assert demo(server_home, "--limit", "5").returncode == 0
    assert embedded.status(server_home).running
    database = Database(dsn)
    newest = database.one(reading.last_batch(read().owner))
    assert (newest.id, newest.total) == (1001, 5)
    database.close()


def test_an_interrupted_demo_cancels_its_batch_and_leaves_nothing_running(server_home: Path) -> None:
    environment = {**os.environ, "GOQUE_HOME": str(server_home)}
    process = subprocess.Popen(
        [sys.executable, "-m", "goque.cli", "demo"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"starting the embedded server" in process.stdout.readline()
    give_up_at = time.monotonic() + 60
    while not any("local_process" in line for line in alive_in(server_home)):
        assert time.monotonic() < give_up_at, "no local worker ever started"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not embedded.status(server_home).running
    assert alive_in(server_home) == []


def test_a_limit_chooses_files_of_all_kinds() -> None:
    files = [f"{number:04d}" for number in range(1_000)]
    assert chosen(files, 4) == ["0000", "0250", "0500", "0750"]
    assert chosen(files, None) == files
