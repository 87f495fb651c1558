"""The command line: what is accepted, what is refused and how. Not for: what commands do on a server."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import fields

import pytest

from goque.cli import main
from goque.cli.commands import COMMANDS
from goque.cli.looking import FILTERS, ids_or_names, moment, pairs
from goque.cli.serving import ELSEWHERE, FLAGS, config_of, duration, size, worker_arguments
from goque.queries.filters import NAMES
from goque.settings import seconds_left, usable_cores
from goque.worker.crew import WorkerConfig


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_of_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def worker_config(*argv: str) -> WorkerConfig:
    parser = argparse.ArgumentParser()
    worker_arguments(parser)
    return config_of(parser.parse_args(argv))


def test_every_field_of_the_worker_s_configuration_is_an_option_or_is_decided_elsewhere() -> None:
    assert {field.name for field in fields(WorkerConfig)} == set(FLAGS) | ELSEWHERE


def test_without_options_a_worker_has_the_configuration_s_defaults_and_a_slot_per_core() -> None:
    assert worker_config() == WorkerConfig(slots=usable_cores())


def test_options_become_fields_in_seconds_and_bytes() -> None:
    config = worker_config(
        *("--concurrency", "8", "--pool", "thread", "--queues", "etl, default", "--tags", "gpu"),
        *("--grace", "1m30s", "--idle-exit", "10m", "--max-runtime", "3h50m", "--max-tasks", "10000", "--drain"),
        *("--max-tasks-per-child", "50", "--max-memory", "2GB", "--threads", "any", "--no-callables", "--no-listen"),
        "--no-clean",
    )
    assert config == WorkerConfig(
        slots=8,
        pool="thread",
        queues=["etl", "default"],
        tags=["gpu"],
        callables=False,
        grace=90.0,
        drain=True,
        idle_exit=600.0,
        max_runtime=13_800.0,
        max_tasks=10_000,
        max_tasks_per_child=50,
        max_memory=2_000_000_000,
        threads=None,
        listen=False,
        clean=False,
    )


def test_a_value_of_an_environment_variable_goes_to_each_slot_in_turn() -> None:
    config = worker_config("--slot-env", "CUDA_VISIBLE_DEVICES=0,1", "--slot-env", "MODE=a", "--concurrency", "3")
    assert [dict(variables) for variables in config.slot_environment] == [
        {"CUDA_VISIBLE_DEVICES": "0", "MODE": "a"},
        {"CUDA_VISIBLE_DEVICES": "1", "MODE": "a"},
        {"CUDA_VISIBLE_DEVICES": "0", "MODE": "a"},
    ]


def test_values_for_slots_decide_the_number_of_slots_where_nothing_else_does() -> None:
    assert worker_config("--slot-env", "DEVICE=0,1,2,3,4").slots == 5


@pytest.mark.parametrize(
    ("text", "expected"), [("10", 10), ("2GB", 2 * 10**9), ("512MiB", 512 * 2**20), ("1.5k", 1500)]
)
def test_sizes_are_read_in_bytes(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "2 apples", "-1", "2GB2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a size"):
        size(text)


def test_a_worker_is_not_started_for_no_time_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "--max-runtime", "0"]) == 2
    assert "in no time a worker can do nothing" in capsys.readouterr().err


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="negative"):
        duration("-5")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nosuch"],
        ["worker", "--concurrency", "0"],
        ["worker", "--pool", "fork"],
        ["worker", "--idle-exit", "soon"],
        ["worker", "--max-memory", "lots"],
        ["worker", "--pool", "thread", "--slot-env", "A=1,2"],
        ["worker", "--concurrency", "1", "--slot-env", "A=1,2"],
        ["worker", "--slot-env", "A"],
        ["worker", "--conc", "2"],
        ["worker", "--app", "mypackage.jobs"],
        ["worker", "--app", "my-package:jobs"],
        ["history", "--since", "yesterday-ish"],
        ["history", "--limit", "many"],
        ["history", "--json", "--csv"],
        ["retry"],
        ["cancel", "--task", "one"],
        ["pause"],
        ["server"],
        ["key", "hide"],
    ],
)
def test_arguments_that_make_no_sense_end_with_2_and_say_why(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    said = capsys.readouterr()
    assert not said.out
    assert "goque" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["histroy"], "goque: there is no command histroy; did you mean history; see goque --help"),
        (
            ["history", "--staus", "error"],
            "goque: --staus is not understood; did you mean --status; see goque history --help",
        ),
        (["worker", "--concurency=3"], "did you mean --concurrency; see goque worker --help"),
        (
            ["history", "--limit", "many"],
            "goque: argument --limit: 'many' is not a number of rows; see goque history --help",
        ),
    ],
)
def test_an_error_in_the_arguments_is_one_line_that_names_what_was_meant(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"goque {command}" in said.split("examples:")[1]


def test_an_unreadable_dsn_is_one_line_and_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--dsn", "postgresql://u:very%zzsecret@h/db"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "secret" not in said


def test_a_password_in_the_arguments_is_warned_about_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--dsn", "postgresql://ann:sesame@127.0.0.1:1/db?connect_timeout=1"]) == 1
    said = capsys.readouterr().err
    assert "sesame" not in said
    for remedy in ("GOQUE_DSN", "PGPASSFILE", "service"):
        assert remedy in said


def test_the_general_help_needs_none_of_the_large_libraries() -> None:
    program = (
        "import sys\nfrom goque.cli import main\ncode = main(['--help'])\n"
        "loaded = {'psycopg', 'pandas', 'pypika', 'ipywidgets', 'cloudpickle'} & set(sys.modules)\n"
        "assert code == 0 and not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=30)


def test_batches_are_named_by_id_or_name() -> None:
    assert ids_or_names("1042, nightly,ann/nightly") == [1042, "nightly", "ann/nightly"]


def test_moments_are_durations_or_times_of_this_machine() -> None:
    assert moment("2h") == "2h"
    found = moment("2026-11-24T03:00+01:00")
    assert not isinstance(found, str)
    assert found.isoformat().startswith("2026-11-24T")
    assert found.utcoffset() is not None
    local = moment("2026-11-24")
    assert not isinstance(local, str)
    assert (local.hour, local.utcoffset() is not None) == (0, True)


def test_every_filter_of_history_is_an_option() -> None:
    assert set(NAMES) - set(FILTERS) == {"order_by", "columns", "limit", "after", "failed"}  # --status says failed


def test_metadata_is_read_as_json_where_it_is_that() -> None:
    assert pairs("model=a, depth=3,on=true") == {"model": "a", "depth": 3, "on": True}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["history", "--staus", "error"], "--staus is not understood; did you mean --status"),
        (["worker", "--qeues=etl"], "--qeues=etl is not understood; did you mean --queues"),
        (["history", "leftover"], "leftover is not understood; see goque history --help"),
    ],
)
def test_an_option_that_does_not_exist_names_the_close_ones(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_a_worker_in_a_batch_job_ends_before_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 3_600))
    assert worker_config("--max-runtime", "auto").max_runtime == pytest.approx(3_590, abs=2)
    assert seconds_left({"SLURM_JOB_END_TIME": "1000"}, now=900.0) == 100.0
    assert seconds_left({"SLURM_JOB_END_TIME": "1000"}, now=1_100.0) == 0.0


def test_auto_outside_of_a_batch_job_asks_for_the_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert main(["worker", "--max-runtime", "auto"]) == 2
    assert "SLURM_JOB_END_TIME" in capsys.readouterr().err
