"""Who fits what, and how a misfit is told."""

from __future__ import annotations

from typing import Any

import pytest

from goque.app.reasons import unserved
from goque.model.eligibility import missing
from goque.queries.eligibility import LaneNeeds, LivingWorker


def worker(**given: Any) -> LivingWorker:
    preset: dict[str, Any] = {
        "id": 1,
        "python": "3.12.1",
        "queues": None,
        "tags": [],
        "key_ids": ["aa"],
        "local": False,
    }
    preset["types"] = []
    return LivingWorker(**preset | given)


def needs(**given: Any) -> LaneNeeds:
    return LaneNeeds(**{"queue": "default", "python": "3.12", "tags": [], "key_ids": ["aa"], "type": None} | given)


@pytest.mark.parametrize(
    ("wanted", "lacks"),
    [
        ({}, []),
        ({"python": None}, []),
        ({"python": "3.11"}, ["Python 3.11"]),
        ({"tags": ["gpu", "big"]}, ["tag gpu", "tag big"]),
        ({"key_ids": ["aa", "bb"]}, ["key bb"]),
        ({"queue": "web"}, ["queue web"]),
        ({"key_ids": []}, ["a worker without keys"]),
        ({"key_ids": [], "type": "send_email"}, ["type send_email"]),
        ({"type": "send_email"}, ["type send_email"]),
        ({"python": "3.11", "tags": ["gpu"], "queue": "web"}, ["Python 3.11", "tag gpu", "queue web"]),
    ],
)
def test_a_worker_lacks_what_it_does_not_offer(wanted: dict[str, Any], lacks: list[str]) -> None:
    assert missing(worker(queues=["default"], key_ids=["aa"]), needs(**wanted)) == lacks


def test_one_worker_that_fits_is_enough() -> None:
    assert unserved(needs(tags=["gpu"]), [worker(), worker(tags=["gpu", "big"])]) is None


def test_a_wrong_secret_is_told_with_the_keys_on_both_sides() -> None:
    why = unserved(needs(key_ids=["aaaa"]), [worker(key_ids=["bbbb"])])
    assert why == (
        "1 worker is alive and lacks key aaaa (it holds bbbb); start it with the GOQUE_SECRET that is used here"
    )


def test_work_without_a_signature_is_told_to_be_signed() -> None:
    why = unserved(needs(key_ids=[]), [worker(), worker()])
    assert why is not None
    assert why.startswith("it was submitted without a key and those alive hold one: submit it again with GOQUE_SECRET")
    assert unserved(needs(key_ids=[]), [worker(), worker(key_ids=[])]) is None


def test_of_several_workers_the_one_that_lacks_least_is_named() -> None:
    why = unserved(needs(tags=["gpu"], queue="web"), [worker(queues=["etl"]), worker(queues=["etl"], tags=["gpu"])])
    assert why is not None
    assert "of 2 workers alive none fits; the nearest lacks queue web; start one with" in why
    assert why.endswith("goque worker --queues web --tags gpu")


def test_without_workers_the_command_is_all() -> None:
    assert unserved(needs(), []) == "no worker is alive; start one with: goque worker"


def test_another_python_is_told_with_both_versions() -> None:
    why = unserved(needs(python="3.11"), [worker(python="3.13.1")])
    assert why == "1 worker is alive and lacks Python 3.11 (it runs 3.13.1); start one with: goque worker"
