"""``goque schedules`` on a database: what it lists, what it changes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from goque import Queue
from goque.app import schedules
from goque.cli import main
from goque.model.schedules import Schedule

Said = Callable[..., str]
DECLARED = [
    Schedule("nightly", "report", cron="30 2 * * *", tz="Europe/Berlin", catch_up="one"),
    Schedule("often", "ping", every_s=900.0),
]


@pytest.fixture
def said(alone: Queue, capsys: pytest.CaptureFixture[str]) -> Said:
    """What ``goque schedules`` says with these arguments, on standard error if it fails."""

    def run(*argv: str, code: int = 0) -> str:
        assert main(["schedules", *argv, "--dsn", alone.dsn]) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    return run


def test_schedules_are_listed_with_when_they_come(alone: Queue, said: Said) -> None:
    assert said().startswith("no schedules")
    assert json.loads(said("--json")) == []
    schedules.declare(alone._core.database, "shop.jobs:jobs", DECLARED)
    titles, *lines = said().splitlines()
    assert titles.split() == ["NAME", "TYPE", "WHEN", "CATCH", "UP", "NEXT", "APP"]
    assert "30 2 * * * Europe/Berlin" in lines[0]
    assert "every 15 min" in lines[1]
    assert [row["name"] for row in json.loads(said("--json"))] == ["nightly", "often"]


def test_schedules_are_paused_resumed_and_forgotten(alone: Queue, said: Said) -> None:
    schedules.declare(alone._core.database, "shop.jobs:jobs", DECLARED)
    assert said("pause", "nightly") == "nightly: paused\n"
    assert [line.count("paused") for line in said().splitlines()[1:]] == [1, 0]
    assert said("resume", "--all") == "every schedule: resumed\n"
    assert "paused" not in said()
    assert said("forget", "shop.jobs:jobs") == "shop.jobs:jobs: forgotten\n"
    assert said().startswith("no schedules")


@pytest.mark.parametrize(
    ("argv", "message", "code"),
    [
        (["pause"], "say what to pause: names, or --all", 2),
        (["pause", "nightly", "--all"], "say what to pause", 2),
        (["forget", "--all"], "say what to forget: names", 2),
        (["resume", "nightly"], "there is no schedule 'nightly'", 1),
        (["forget", "shop"], "no app 'shop' has declared schedules", 1),
    ],
)
def test_what_is_not_said_clearly_changes_nothing(said: Said, argv: list[str], message: str, code: int) -> None:
    assert message in said(*argv, code=code)
