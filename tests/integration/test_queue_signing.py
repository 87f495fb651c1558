"""Signing: what was changed, or signed by others, is refused before it is unpickled."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import goque
from goque import KeyMissing, Queue, SignatureInvalid, Status, TaskCanceled
from tests.integration.conftest import SECRET, until

OTHER = "another secret which is long enough"


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.mark,)


@pytest.fixture
def opened(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Queue]]:
    """Open the queue with this secret, or none."""
    made: list[Queue] = []

    def open_with(secret: str | None, **options: Any) -> Queue:
        if secret is None:
            monkeypatch.delenv("GOQUE_SECRET", raising=False)
        else:
            monkeypatch.setenv("GOQUE_SECRET", secret)
        made.append(Queue(dsn, owner="tester", **options))
        return made[-1]

    yield open_with
    for queue in made:
        queue.close()


def changed(dsn: str, statement: str, *values: Any) -> None:
    with psycopg.connect(dsn) as connection:
        assert connection.execute(statement.encode(), values).rowcount > 0


def test_arguments_of_another_place_are_refused(alone: Queue) -> None:
    batch = alone.map(abs, [1, 2])
    changed(
        alone.dsn,
        "UPDATE goque.task t SET args = o.args FROM goque.task o WHERE t.id = %s AND o.id = %s",
        batch[0].id,
        batch[1].id,
    )
    alone.start_workers(1)
    with pytest.raises(TaskCanceled, match="(?i)sign"):
        batch[0].result(timeout=20)
    assert batch[1].result(timeout=20) == 2


def test_another_function_put_under_a_batch_is_refused(alone: Queue) -> None:
    batch, other = alone.map(abs, [-1]), alone.map(float, [1])
    changed(
        alone.dsn,
        "UPDATE goque.lane l SET function_id = o.function_id FROM goque.lane o "
        "WHERE l.batch_id = %s AND o.batch_id = %s",
        batch.id,
        other.id,
    )
    alone.start_workers(1)
    with pytest.raises(TaskCanceled, match="(?i)sign"):
        batch.results(timeout=20)
    assert other.results(timeout=20) == [1.0]


def test_a_result_that_was_changed_is_refused_by_the_reader(opened: Callable[..., Queue], tmp_path: Path) -> None:
    queue = opened(SECRET, workers=1)
    batch = queue.map(abs, [1]).wait(20)
    bomb = pickle.dumps(Bomb(tmp_path / "bomb"))
    changed(queue.dsn, "UPDATE goque.task SET result = substring(result for 48) || %s", bomb)
    with pytest.raises(SignatureInvalid):
        batch.results()
    with pytest.raises(SignatureInvalid):
        batch[0].result()
    assert batch.to_frame()["error_type"].tolist() == ["SignatureInvalid"]
    assert not (tmp_path / "bomb").exists()


def test_a_client_with_another_key_reads_nothing(opened: Callable[..., Queue]) -> None:
    mine = opened(SECRET, workers=1)
    task = mine.submit(pow, 2, 2)
    assert task.result(timeout=20) == 4
    for secret in (OTHER, None):
        stranger = opened(secret)
        assert stranger.task(task.id).status is Status.DONE
        with pytest.raises(KeyMissing, match="key"):
            stranger.task(task.id).result()
        with pytest.raises(KeyMissing):
            _ = stranger.task(task.id).args


def test_once_work_is_signed_a_client_without_a_key_is_refused_at_submit(opened: Callable[..., Queue]) -> None:
    opened(SECRET).submit(pow, 2, 2)
    stranger = opened(None)
    for give in (lambda: stranger.submit(pow, 1, 1), lambda: stranger.map(abs, [1])):
        with pytest.raises(KeyMissing, match="GOQUE_SECRET"):
            give()


def test_a_worker_leaves_work_under_keys_it_does_not_hold(opened: Callable[..., Queue]) -> None:
    mine = opened(SECRET)
    task, batch = mine.submit(pow, 2, 2), mine.map(abs, [1])
    stranger = opened(OTHER)
    stranger.start_workers(1)
    assert stranger.submit(pow, 3, 2).result(timeout=20) == 9
    key = mine._core.functions.key_ids[0]
    until(lambda: task.waiting_for == f"key {key}", "it says which key it waits for")
    assert batch[0].waiting_for == f"key {key}"
    assert (task.status, task.attempts) == (Status.NEW, 0)
    mine.start_workers(1)
    assert (task.result(timeout=20), batch.results(timeout=20)) == (4, [1])


def test_work_without_a_signature_waits_for_a_worker_without_keys(opened: Callable[..., Queue]) -> None:
    unsigned = opened(None).submit(pow, 2, 2)
    keyed = opened(SECRET)
    keyed.start_workers(1)
    assert keyed.submit(pow, 3, 2).result(timeout=20) == 9
    assert (unsigned.status, unsigned.waiting_for) == (Status.NEW, "a worker without keys")
    opened(None).start_workers(1)
    assert unsigned.result(timeout=20) == 4


def test_a_rotated_key_signs_what_is_new_and_the_old_one_still_reads(opened: Callable[..., Queue]) -> None:
    before = opened(SECRET)
    old = before.submit(pow, 2, 2)
    rotated = opened(f"{OTHER},{SECRET}", workers=1)
    rotated.resume()
    assert rotated.task(old.id).result(timeout=20) == 4
    new = rotated.submit(pow, 3, 2)
    assert new.result(timeout=20) == 9
    assert rotated._core.functions.key_ids != before._core.functions.key_ids
    with pytest.raises(KeyMissing):
        before.task(new.id).result()


def test_a_function_stored_under_one_key_is_stored_again_under_another(opened: Callable[..., Queue]) -> None:
    opened(SECRET).submit(pow, 2, 2)
    other = opened(OTHER, workers=1)
    assert other.submit(pow, 2, 3).result(timeout=20) == 8


def test_a_secret_too_short_to_be_one_is_refused(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOQUE_SECRET", "short")
    with pytest.raises(goque.InvalidInput, match="16"):
        Queue(dsn)


def test_neither_secret_nor_password_is_shown(opened: Callable[..., Queue]) -> None:
    queue = opened(SECRET)
    shown = f"{queue!r} {queue._core.settings!r} {queue._core.ring!r} {queue._core!r} {queue._core.database!r}"
    assert SECRET not in shown
