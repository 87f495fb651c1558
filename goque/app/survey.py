"""The function that ``goque demo`` maps: measure one file of Python source. Not for: choosing files or showing results.

It knows nothing of goque, as a user's function would not.
"""

from __future__ import annotations

import ast
import tokenize
import warnings
from typing import Any

TOP = 10
"""Functions of a file that are reported, the most complex ones."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = (*_FUNCTIONS, ast.ClassDef, ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.With, ast.AsyncWith)
_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.comprehension, ast.match_case)


def survey(path: str) -> dict[str, Any]:
    """Lines, functions, classes, the deepest nesting of blocks, and the most complex functions of a file.

    The complexity is McCabe's cyclomatic one: 1, and 1 more for each place where the way through the code parts.

    Raises:
        SyntaxError, UnicodeDecodeError: it is no source that this Python can read.
    """
    with tokenize.open(path) as file:
        text = file.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in old files, which is not what is asked
        tree = ast.parse(text, path)
    functions, classes, deepest = _measured(tree)
    worst = sorted(functions, key=lambda function: -function[1])[:TOP]
    return {
        "path": path,
        "lines": text.count("\n"),
        "functions": len(functions),
        "classes": classes,
        "depth": deepest,
        "complex": [{"name": name, "complexity": number, "line": line} for name, number, line in worst],
    }


def _measured(tree: ast.AST) -> tuple[list[list[Any]], int, int]:
    """Functions as [qualified name, complexity, line], the number of classes, and the deepest nesting.

    With a stack of its own: some files nest deeper than Python may recurse.
    """
    functions: list[list[Any]] = []
    classes = deepest = 0
    stack: list[tuple[ast.AST, int, str, list[Any] | None]] = [(tree, 0, "", None)]
    while stack:
        node, depth, name, function = stack.pop()
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            name = f"{name}.{node.name}" if name else node.name
            if isinstance(node, ast.ClassDef):
                classes += 1
            else:
                function = [name, 1, node.lineno]
                functions.append(function)
        elif function is not None:
            function[1] += _parts(node)
        depth += isinstance(node, _BLOCKS)
        deepest = max(deepest, depth)
        stack += [(child, depth, name, function) for child in ast.iter_child_nodes(node)]
    return functions, classes, deepest


def _parts(node: ast.AST) -> int:
    """How many ways more there are because of this node."""
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, _BRANCHES))
