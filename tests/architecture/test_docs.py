"""What the documents show is true: snippets run, commands parse, names exist, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import goque
from goque import Batch, Queue, Task
from goque.cli.commands import COMMANDS, _parser
from goque.model.options import OPTION_NAMES
from goque.queries.chronicle import HISTORY
from goque.queries.filters import NAMES
from tests.architecture.sources import ROOT, sources
from tests.servers import temporary_directory

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text()
_RUNNABLE = re.compile(r"<!-- run -->\n```python\n(.*?)```", re.DOTALL)
_NAME = re.compile(r"`(goque(?:\.\w+)+)`")
_FILE = re.compile(r"`((?:goque|tests|migrations|docs|benchmarks|notebooks|\.ci)/[\w./-]*)`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_STOP = "from goque.postgres import embedded; from goque.settings import read; embedded.stop(read().home)"


_CHECKS = {
    # What the snippets leave behind must have gone as the text says.
    "README.md": """
assert batch.results(timeout=60) == [parse(number) for number in numbers]
assert again.counts() == {**dict.fromkeys(again.counts(), 0), "attempts_left": 1}
"""
}


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or can be had from one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_name_and_file_in_a_document_exists(document: Path) -> None:
    text = document.read_text()
    assert [name for name in _NAME.findall(text) if not exists(name)] == []
    assert [path for path in _FILE.findall(text) if not (ROOT / path).exists()] == []
    assert [link for link in _LINK.findall(text) if not (document.parent / link).exists()] == []


def test_the_picture_of_the_architecture_names_enough_to_be_held_to_it() -> None:
    assert len(_NAME.findall((ROOT / "docs" / "architecture.md").read_text())) > 30


def test_every_test_that_a_document_names_exists() -> None:
    defined = {
        name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = [name for document in DOCUMENTS for name in re.findall(r"`(test_\w+)`", document.read_text())]
    assert len(named) > 50
    assert [name for name in named if name not in defined] == []


def test_what_is_shown_of_an_example_is_what_it_says_and_each_is_shown() -> None:
    shown = dict(
        re.findall(r"<!-- (\w+) -->\n```python\n(.*?)```", (ROOT / "docs" / "examples.md").read_text(), re.DOTALL)
    )
    files = {path.stem: path.read_text() for path in (ROOT / "docs" / "examples").glob("*.py")}
    assert shown.keys() == files.keys()
    assert [name for name, text in shown.items() if text not in files[name]] == []
    assert [name for name, text in files.items() if len(text.splitlines()) > 60] == []


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if _RUNNABLE.search(path.read_text())], ids=lambda p: p.name
)
def test_the_snippets_of_a_document_run_as_one_notebook(document: Path) -> None:
    code = "\n".join([*_RUNNABLE.findall(document.read_text()), _CHECKS.get(document.name, "")])
    with temporary_directory() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
        environment |= {"GOQUE_HOME": str(home)}
        try:
            script = home / "notebook.py"
            script.write_text(code + "\nq.close()\n")
            command = [sys.executable, str(script)]
            ran = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
        finally:
            subprocess.run([sys.executable, "-c", _STOP], cwd=ROOT, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]


def commands() -> list[list[str]]:
    texts = "".join(document.read_text() for document in DOCUMENTS)
    blocks = re.findall(r"```console\n(.*?)```", texts, re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ goque")]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_a_command_of_the_documents_parses(command: list[str]) -> None:
    parser, parsers = _parser()
    name = command[1]
    arguments = getattr(import_module(f"goque.cli.{COMMANDS[name].module}"), f"{name}_arguments")
    arguments(parsers[name])
    parser.parse_args(command[1:])


def test_the_two_commands_of_the_readme_are_targets() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^    make (\w+)", README, re.MULTILINE)) == {"demo", "test"} <= targets


def test_every_option_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "options.md").read_text()
    documented = {
        name for row in re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert documented == set(OPTION_NAMES)


def test_every_filter_is_documented() -> None:
    text = (ROOT / "docs" / "looking.md").read_text()
    cells = re.findall(r"^\| (`.+?`) \| \w", text, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert documented == (set(NAMES) - {"columns", "order_by", "limit", "after"}) | {"alive"}


def _rows(document: str, title: str) -> list[str]:
    """The names that begin the rows of the tables in a section."""
    section = (ROOT / "docs" / document).read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"(?:^|, )`(\w+)", cell)]


@pytest.mark.parametrize("face", [Queue, Batch, Task], ids=lambda face: face.__name__)
def test_every_method_of_a_handle_is_documented(face: type) -> None:
    assert sorted(_rows("api.md", face.__name__)) == sorted(name for name in dir(face) if not name.startswith("_"))


def test_every_public_name_is_documented() -> None:
    titles = re.findall(r"^## (.+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    handles = ["Queue", "Batch", "Task"]
    documented = [name for title in titles if title not in handles for name in _rows("api.md", title)]
    assert sorted([*handles, *documented]) == goque.__all__


def test_every_column_of_history_is_documented() -> None:
    assert _rows("history.md", "Columns of history") == list(HISTORY)


def test_every_kind_of_finding_is_documented() -> None:
    modules = [one for one in sources() if one.path in ("goque/observe/findings.py", "goque/app/doctor.py")]
    made = re.findall(r'finding\(\s*(?:[^"]*?), ?\s*"([a-z ]+)"', "".join(one.text for one in modules))
    text = (ROOT / "docs" / "doctor.md").read_text()
    assert set(re.findall(r"^\| `([a-z ]+)` \|", text, re.MULTILINE)) == set(made)


def test_each_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "CONTRIBUTING.md").read_text()
    names = [re.split(r"[\[<>= ]", one)[0] for one in project["dependencies"]]
    assert [name for name in names if f"| {name}" not in text] == []
    extra = [re.split(r"[\[<>= ]", one)[0] for some in project["optional-dependencies"].values() for one in some]
    assert [name for name in extra if name not in text] == []
