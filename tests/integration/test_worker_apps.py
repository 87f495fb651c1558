"""``goque worker --app``: who imports it, what is declared by it, and what is said when it cannot be loaded."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from goque import Queue, Status
from tests.integration.conftest import SECRET

StartWorker = Callable[..., "subprocess.Popen[str]"]

APP = """
    import os, sys
    from goque import Registry

    print("a module may print at import")
    with open("imported-by", "a") as file:
        print(os.getpid(), os.environ.get("GOQUE_SECRET"), os.environ.get("GOQUE_DSN"), file=file)

    jobs = Registry()

    @jobs.task("double", max_attempts=2, timeout="1m")
    def double(payload):
        return payload["n"] * 2

    @jobs.task("who")
    def who():
        return os.getpid(), os.getcwd()

"""


@pytest.fixture
def start(dsn: str, tmp_path: Path) -> StartWorker:
    """Start ``goque worker`` with these arguments in a folder with these modules."""

    def run(*argv: str, **modules: str) -> subprocess.Popen[str]:
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return subprocess.Popen(
            [sys.executable, "-m", "goque.cli", "worker", "--concurrency", "1", *argv],
            cwd=tmp_path,
            env={**os.environ, "GOQUE_SECRET": SECRET, "GOQUE_DSN": dsn},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err


def test_types_and_callables_are_served_and_main_imports_nothing(
    alone: Queue, start: StartWorker, tmp_path: Path
) -> None:
    task = alone.enqueue("double", {"n": 21})
    who = alone.enqueue("who")
    call = alone.submit(pow, 2, 5)
    worker = start("--app", "shop_jobs:jobs", "--drain", shop_jobs=APP)
    code, said = ended(worker)
    assert code == 0, said
    assert (task.result(), call.result()) == (42, 32)
    pid, folder = who.result()
    assert Path(folder).samefile(tmp_path)
    imported = [line.split() for line in (tmp_path / "imported-by").read_text().splitlines()]
    assert str(worker.pid) not in [line[0] for line in imported]
    assert str(pid) in [line[0] for line in imported]
    assert {(secret, address) for _, secret, address in imported} == {("None", "None")}
    # What it declared holds for those who come later.
    alone._core.types.forget()
    assert alone.enqueue("double", {"n": 1})._row().max_attempts == 2


def test_no_callables_leaves_functions_to_others(alone: Queue, start: StartWorker) -> None:
    task = alone.enqueue("double", {"n": 1})
    call = alone.submit(pow, 2, 5)
    code, said = ended(start("--app", "shop_jobs:jobs", "--no-callables", "--drain", shop_jobs=APP))
    assert code == 0, said
    assert task.result() == 2
    assert call.status is Status.NEW


def test_several_apps_are_served_by_one_worker(alone: Queue, start: StartWorker) -> None:
    second = """
        from goque import Registry
        tasks = Registry()
        tasks.task("triple")(lambda payload: payload * 3)
    """
    task = alone.enqueue("double", {"n": 1})
    other = alone.enqueue("triple", 1)
    argv = ("--app", "shop_jobs:jobs", "--app", "more:tasks", "--drain")
    code, said = ended(start(*argv, shop_jobs=APP, more=second))
    assert code == 0, said
    assert (task.result(), other.result()) == (2, 3)


@pytest.mark.parametrize(
    ("app", "text", "said"),
    [
        ("nowhere:jobs", "", "No module named 'nowhere'"),
        ("broken:jobs", "1 / 0", "ZeroDivisionError"),
        ("broken:jobs", "jobs = 5", "broken has no goque.Registry called 'jobs'"),
        ("broken:jobs", "import os; os._exit(0)", "(nothing)"),
        ("broken:jobs", "import os; os.write(2, b'gone'); os.kill(os.getpid(), 9)", "gone"),
    ],
)
def test_an_app_that_cannot_be_loaded_ends_the_worker_with_3_and_the_reason(
    start: StartWorker, app: str, text: str, said: str
) -> None:
    code, output = ended(start("--app", app, broken=text))
    assert code == 3
    assert f"--app {app} cannot be loaded" in output
    assert said in output


def test_a_task_whose_module_lacks_a_module_by_now_is_left_to_others(alone: Queue, start: StartWorker) -> None:
    """The import of the manifest went well and that of the child does not: the worker's fault, not the task's."""
    app = """
        import os
        from goque import Registry
        if os.path.exists("second"):
            import gone_since
        open("second", "w").close()
        jobs = Registry()
        jobs.task("f")(lambda: 1)
    """
    task = alone.enqueue("f")
    code, said = ended(start("--app", "changing:jobs", "--drain", changing=app))
    assert code == 0, said
    assert (task.status, task.attempts) == (Status.NEW, 0)
    assert task._row().lacking == "gone_since"


def test_workers_of_an_older_deployment_leave_its_schedules_and_go_on_with_its_tasks(
    alone: Queue, start: StartWorker
) -> None:
    old = """
        from goque import Registry
        jobs = Registry()

        @jobs.every("1h", name="report")
        @jobs.every("1h", name="dropped")
        @jobs.task("double")
        def double(payload):
            return payload["n"] * 2
        """
    new = old.replace('@jobs.every("1h", name="dropped")', "").replace("1h", "2h")
    for text in (old, new):
        assert ended(start("--app", "shop:jobs", "--drain", shop=text))[0] == 0
    task = alone.enqueue("double", {"n": 21})
    code, said = ended(start("--app", "shop:jobs", "--drain", shop=old))
    assert (code, task.result()) == (0, 42)
    assert "the schedules of shop:jobs stay as a newer deployment declared them" in said
    assert alone.schedules()[["name", "every_s"]].to_numpy().tolist() == [["report", 7200.0]]


def test_an_app_s_schedule_makes_tasks_with_its_type_s_options_that_know_their_slot(
    alone: Queue, start: StartWorker
) -> None:
    clock = """
        import goque

        jobs = goque.Registry()

        @jobs.every("1s", name="ticking", payload={"of": "clock"})
        @jobs.task("tick", queue="clockwork", max_attempts=1)
        def tick(payload):
            return payload, goque.context().slot.isoformat()
        """
    process = start("--app", "clock:jobs", "--max-tasks", "2", clock=clock)
    assert ended(process)[0] == 0
    done = alone.tasks(type="tick", status="done", order_by="id")
    assert len(done) >= 2
    assert set(done["queue"]) == {"clockwork"}
    payload, slot = alone.task(int(done["task_id" if "task_id" in done else "id"].iloc[0])).result()
    assert payload == {"of": "clock"}
    assert slot == done["slot"].iloc[0].isoformat()
    assert done["slot"].is_unique
    assert alone.schedules()["name"].tolist() == ["ticking"]
