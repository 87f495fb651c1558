"""Rules of the house that no linter knows: docstrings, names, threads, the environment, size."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.sources import ROOT, Source, calls, sources

NO_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
# A thread is a Service; these few are not duties that come again.
THREADS = {
    "goque/service.py",
    "goque/app/local_process.py",  # follows the owner's pipe
    "goque/app/signals.py",  # a signal handler may do next to nothing
    "goque/app/together.py",  # as_completed over several sources
    "goque/cli/changing.py",  # a bulk verb under a progress line
    "goque/client/callbacks.py",  # add_done_callback
    "goque/client/waker.py",  # the trailing edge of a debounced notification
    "goque/notebook/panel.py",  # one press of a button
    "goque/worker/child/threads.py",  # the slots of a thread child, and its loop
}
# What users decide is read in settings; these read what belongs to others, or hand the environment on.
ENVIRONMENT = {
    "goque/settings.py",
    "goque/postgres/addresses.py",  # libpq's own variables, for messages
    "goque/postgres/connections.py",  # libpq's own variables, to be respected
    "goque/postgres/embedded.py",  # is this a batch job
    "goque/postgres/postmaster.py",  # handed on to the server, filtered
    "goque/worker/channel/environment.py",  # handed on to children, without secrets
    "goque/worker/pool/hatchery.py",  # told to the nursery, which puts it back
    "goque/worker/child/nursery.py",  # the same, on the other side
    "goque/worker/child/serving.py",  # set for a slot
    "goque/worker/child/runner.py",  # set for a program
    "goque/cli/commands.py",  # the terminal, and the warning about a password in argv
    "goque/cli/connecting.py",
}


def each_source() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("source", sources(), ids=lambda source: source.path)


@each_source()
def test_a_module_says_what_it_is_for(source: Source) -> None:
    text = ast.get_docstring(source.tree) or ""
    assert len(text) > 20, "begin the module with a docstring: what it is for, and what it is not for"


def test_nearly_all_modules_say_what_they_are_not_for() -> None:
    modules = [one for one in sources() if not one.path.endswith(("__init__.py", "__main__.py"))]
    silent = [one.path for one in modules if "not for:" not in (ast.get_docstring(one.tree) or "").lower()]
    assert len(silent) <= len(modules) // 4, silent


@each_source()
def test_names_of_modules_say_something(source: Source) -> None:
    assert not NO_NAMES & set(source.path.removesuffix(".py").split("/"))


def test_threads_are_services_but_for_a_few() -> None:
    words = {"threading.Thread", "threading.Timer", "Thread", "Timer", "ThreadPoolExecutor"}
    making = {one.path for one in sources() if words & set(calls(one.tree))}
    assert making - THREADS == set(), "make it a goque.service.Service"
    assert making == THREADS, "strike what makes no thread any more"


def test_the_environment_is_read_in_settings() -> None:
    def reads(one: Source) -> bool:
        return any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv")
            for node in ast.walk(one.tree)
        )

    reading = {one.path for one in sources() if reads(one)}
    assert reading - ENVIRONMENT == set(), "read it in goque/settings.py and pass it on"


@each_source()
def test_nothing_is_printed(source: Source) -> None:
    allowed = source.path.startswith(("goque/cli/", "goque/notebook/"))
    assert allowed or "print" not in set(calls(source.tree)), "use logging"


@each_source()
def test_a_module_stays_small_enough_to_be_read(source: Source) -> None:
    assert source.text.count("\n") <= 430, "a concept in it wants a file of its own"


def test_nothing_names_the_machine_it_was_written_on() -> None:
    folders = ("goque", "tests", "docs", "migrations", "benchmarks", "notebooks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    files += [path for path in ROOT.iterdir() if path.suffix in TEXTS or path.name == "Makefile"]
    home = str(ROOT) + "/"
    assert len(files) > 100
    assert [str(path) for path in files if home in path.read_text(errors="replace")] == []


TEXTS = {".py", ".md", ".sql", ".toml", ".ipynb"}
