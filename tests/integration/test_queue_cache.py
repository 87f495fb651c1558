"""``cache=True``: what was computed once is not computed again, by function, captured values and arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goque import Batch, InvalidInput, Queue, Status
from goque.notebook.text import sentence
from goque.notebook.watching import Watch
from goque.queries import duplicates


def calls_of(folder: Path) -> list[int]:
    """The arguments with which functions ran here, each call once."""
    return sorted(int(path.name.partition("-")[0]) for path in folder.iterdir())


def made(folder: Path, factor: int) -> Callable[[int], int]:
    """A function that leaves a file for each call, and captures a factor."""

    def work(x: int) -> int:
        from uuid import uuid4

        (folder / f"{x}-{uuid4()}").touch()
        if x < 0:
            raise ValueError(x)
        return x * factor

    return work


def fresh(batch: Batch) -> int:
    """How many of its tasks ran themselves."""
    return int((batch.history()["run"] > 0).sum())


def test_only_what_is_new_runs_and_the_rest_is_there_at_once(q: Queue, tmp_path: Path) -> None:
    first = q.map(made(tmp_path, 2), [0, 1, 2, 2], cache=True)
    assert first.results(timeout=30) == [0, 2, 4, 4]
    assert calls_of(tmp_path) == [0, 1, 2], "an item that comes twice runs once"
    again = q.map(made(tmp_path, 2), [1, 2, 3], cache=True)
    assert again.results(timeout=30) == [2, 4, 6]
    assert calls_of(tmp_path) == [0, 1, 2, 3]
    assert again._reused() == ", 2 reused, 1 new"
    everything = q.map(made(tmp_path, 2), [3, 2, 1], cache=True)
    assert everything.done(), "nothing is left to wait for"
    assert everything.results(timeout=30) == [6, 4, 2]
    assert calls_of(tmp_path) == [0, 1, 2, 3]


def test_the_panel_says_how_many_results_were_there_in_words_and_in_html(q: Queue) -> None:
    def double(x: int) -> int:
        return 2 * x

    q.map(double, range(1_500), cache=True).wait(60)
    shown = q.map(double, range(1_000, 3_100), cache=True)._shown()
    assert "500 reused, 1,600 new</strong>" in shown.still()
    assert "500 reused, 1,600 new: " in sentence(Watch(shown).look())


def test_another_function_captured_value_or_shared_argument_is_other_work(q: Queue, tmp_path: Path) -> None:
    def power(x: int, exponent: int = 1) -> int:
        return int(x**exponent)

    assert q.map(made(tmp_path, 2), [5], cache=True).results(timeout=30) == [10]
    assert q.map(made(tmp_path, 3), [5], cache=True).results(timeout=30) == [15]
    assert calls_of(tmp_path) == [5, 5]
    for exponent in (2, 3, 2):
        assert q.map(power, [3], kwargs={"exponent": exponent}, cache=True).results(timeout=30) == [3**exponent]
    assert q.map(made(tmp_path, 2), [5]).results(timeout=30) == [10]
    assert calls_of(tmp_path) == [5, 5, 5], "without cache=True it runs"


def test_failures_are_not_kept_and_results_of_a_repaired_function_are_not_taken_for_its_own(
    q: Queue, tmp_path: Path
) -> None:
    work = made(tmp_path, 2)
    batch = q.map(work, [-1, 1], cache=True, max_attempts=1)
    batch.wait(timeout=30)
    assert batch[0].status is Status.ATTEMPTS_LEFT
    assert batch.retry(lambda x: 77).changed == 1
    assert batch.results(timeout=30) == [77, 2]
    again = q.map(work, [-1, 1], cache=True, max_attempts=1)
    again.wait(timeout=30)
    assert [task.status for task in again.tasks()] == [Status.ATTEMPTS_LEFT, Status.DONE]
    assert again.retry(lambda x: 78, force=True).changed == 1, "what is shared stays with its own task"
    assert batch.retry(lambda x: 79, force=True).changed == 2
    assert batch.results(timeout=30) == [79, 79]
    assert q.map(work, [1], cache=True).results(timeout=30) == [2]


def test_a_named_map_may_be_cached_and_grow(q: Queue, tmp_path: Path) -> None:
    options: dict[str, Any] = {"name": "cached", "cache": True, "on_change": "extend"}
    q.map(made(tmp_path, 4), [1, 2], **options).wait(timeout=30)
    grown = q.map(made(tmp_path, 4), [1, 2, 3], **options)
    assert grown.results(timeout=30) == [4, 8, 12]
    assert q.map(made(tmp_path, 4), [3, 1], cache=True).results(timeout=30) == [12, 4]
    assert calls_of(tmp_path) == [1, 2, 3]


def test_what_cannot_be_cached_is_refused(q: Queue) -> None:
    with pytest.raises(InvalidInput, match="not both"):
        q.map(abs, [1], cache=True, external_id=str)
    with pytest.raises(InvalidInput, match="option of maps"):
        q.options(cache=True).submit(abs, 1)
    with pytest.raises(InvalidInput, match="True or False"):
        q.map(abs, [1], cache="yes")


CELL = """
import json
from goque import Queue
source = '''
LIMITS = {{"low", "high", "middle"}}
def {comment}measure(item, scale=2):
    return len(item["names"]) * scale, sorted(LIMITS)
'''.replace("NOTE ", "")
exec(compile(source, "<cell {comment}>", "exec"))
with Queue() as q:
    items = [{{"names": {{"c", "a", "b"}}, "n": n}} for n in range({number})]
    batch = q.map(measure, items, cache=True)
    print(json.dumps([len(batch), batch.counts().get("new", 0), batch._reused()]))
"""


def test_what_ran_in_one_kernel_is_there_in_the_next(alone: Queue, run_script: Callable[..., Any]) -> None:
    """Sets have another order with each hash seed, and so have their pickles."""
    said = [
        run_script(CELL.format(comment=comment, number=number), alone.dsn, PYTHONHASHSEED=str(seed))
        for seed, comment, number in ((1, "", 3), (2, "NOTE ", 5), (3, "", 5))
    ]
    assert said == [[3, 3, ""], [5, 2, ", 3 reused, 2 new"], [5, 0, ", 5 reused, 0 new"]]


def test_what_is_there_is_taken_over_in_bounded_steps_and_at_once(
    q: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    q.map(made(tmp_path, 5), range(7), cache=True).wait(timeout=30)
    ranges: list[int] = []
    follow = duplicates.follow

    def noted(scope: str, first: int, last: int) -> Any:
        ranges.append(last - first + 1)
        return follow(scope, first, last)

    monkeypatch.setattr(duplicates, "FOLLOWED", 3)
    monkeypatch.setattr(duplicates, "follow", noted)
    monkeypatch.setattr(duplicates, "share", lambda *_: pytest.fail("nothing is left to be shared later"))
    again = q.map(made(tmp_path, 5), range(7), cache=True)
    assert ranges == [3, 3, 1]
    assert again.counts()[Status.DONE] == 7
    assert again.results(timeout=30) == [0, 5, 10, 15, 20, 25, 30]
    assert again.history()["finished_at"].notna().all()
    assert calls_of(tmp_path) == list(range(7))
