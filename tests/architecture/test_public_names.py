"""The public face: the names in ``__all__`` are those that can be had, and those that type checkers see."""

from __future__ import annotations

import ast

import pytest

import goque
import goque.errors
from goque.errors import GoqueError
from tests.architecture.sources import ROOT

TREE = ast.parse((ROOT / "goque" / "__init__.py").read_text())


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


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Quue'"):
        _ = goque.Quue


def test_every_error_stands_in_the_tree_and_says_what_it_is() -> None:
    tree = goque.errors.__doc__ or ""
    for value in vars(goque.errors).values():
        if isinstance(value, type) and issubclass(value, GoqueError):
            assert value.__name__ in tree, f"draw {value.__name__} in the tree"
            assert value.__doc__
