"""The public face: the names in ``__all__`` are those that can be had, and those that type checkers see."""

from __future__ import annotations

import ast
import pickle
import pickletools

import pytest

import goque
import goque.errors
from goque.errors import GoqueError
from tests.architecture.sources import ROOT

TREE = ast.parse((ROOT / "goque" / "__init__.py").read_text())


def address(thing: object) -> str:
    """Where a pickle says that it is."""
    module, name = [one for _, one, _ in pickletools.genops(pickle.dumps(thing, 4)) if isinstance(one, str)]
    return f"{module}.{name}"


@pytest.mark.parametrize("name", goque.__all__)
def test_a_public_name_can_be_had(name: str) -> None:
    assert getattr(goque, name) is not None


def test_the_names_are_sorted_and_each_has_a_home() -> None:
    assert goque.__all__ == sorted(set(goque.__all__))
    assert sorted(goque._HOME) == goque.__all__


def test_type_checkers_see_the_same_names_in_the_same_places() -> None:
    seen: dict[str, tuple[str, str]] = {}
    for node in ast.walk(TREE):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                assert statement.module is not None
                for alias in statement.names:
                    seen[alias.asname or alias.name] = (statement.module, alias.name)
    lazy = {name: (home, goque._CALLED_THERE.get(name, name)) for name, home in goque._HOME.items()}
    assert seen == lazy


def test_what_tasks_carry_has_an_address_that_stays() -> None:
    """A stored function names what it uses by these; a worker of a later version must find it there."""
    inside = {
        "context": "goque.worker.task.context.current",
        "TaskContext": "goque.worker.task.context.TaskContext",
        "once": "goque.worker.task.once.once",
        "Registry": "goque.worker.task.registry.Registry",
        "TaskOutcome": "goque.worker.task.registry.TaskOutcome",
        "Exponential": "goque.model.retries.Exponential",
        "Fibonacci": "goque.model.retries.Fibonacci",
        "Fixed": "goque.model.retries.Fixed",
        "Status": "goque.model.states.Status",
    }
    errors = [name for name, home in goque._HOME.items() if home == "goque.errors"]
    stay = inside | {name: f"goque.errors.{name}" for name in errors}
    assert len(errors) > 20
    assert {name: address(getattr(goque, name)) for name in stay} == stay


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Quue'"):
        _ = goque.Quue


def test_every_error_stands_in_the_tree_and_says_what_it_is() -> None:
    tree = goque.errors.__doc__ or ""
    for value in vars(goque.errors).values():
        if isinstance(value, type) and issubclass(value, GoqueError):
            assert value.__name__ in tree, f"draw {value.__name__} in the tree"
            assert value.__doc__
