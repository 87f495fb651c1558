"""Source text of functions, and making tracebacks show it elsewhere. Not for: pickling, or comparing values."""

from __future__ import annotations

import ast
import builtins
import dis
import linecache
import re
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from types import CodeType, FunctionType
from typing import Any

_KERNEL_FOLDER = re.compile(r"^ipykernel_\d+$")
# Two threads that make trees at once confuse each other in CPython 3.11: "recursion depth mismatch", a SystemError.
_PARSING = threading.Lock()
_INPUT_NAME = re.compile(r"^<ipython-input-\d+-(\w+)>$")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class SourceText:
    """The source of one function as it stands in its file: ``first_line`` counts from 1."""

    filename: str
    first_line: int
    text: str


def stable_filename(filename: str) -> str:
    """The same name for a notebook cell in every kernel: its real one holds a process id."""
    path = PurePath(filename)
    if _KERNEL_FOLDER.match(path.parent.name):
        return f"<notebook cell {path.stem}>"
    found = _INPUT_NAME.match(filename)
    return f"<notebook cell {found[1]}>" if found else filename


def source_of(code: CodeType) -> SourceText | None:
    """The source of a function's code, decorators included; None when it is not to be had."""
    lines = linecache.getlines(code.co_filename)
    node = _definition(code, lines)
    if node is None:
        return None
    first = code.co_firstlineno
    text = "".join(lines[first - 1 : node.end_lineno])
    return SourceText(stable_filename(code.co_filename), first, text)


def normalised_source(code: CodeType) -> str | None:
    """The source without comments, blank lines, indentation or formatting: what the function says, not how."""
    node = _definition(code, linecache.getlines(code.co_filename))
    return None if node is None else ast.unparse(node)


def captured_values(function: FunctionType) -> dict[str, Any]:
    """What a function reads from around it: closure cells and globals, those of inner functions included, by name."""
    found: dict[str, Any] = {}
    for name in sorted(set(_global_names(function.__code__))):
        if name in function.__globals__:
            value = function.__globals__[name]
            if value is not getattr(builtins, name, found):
                found[name] = value
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet: a function that refers to itself while it is being defined
            continue
    return found


def register_source(source: str, filename: str, first_line: int) -> None:
    """Let tracebacks in this process show the lines of a function whose file is elsewhere.

    A file that is here and says the same is left alone; several functions of one file add up.
    """
    shown = source.splitlines(keepends=True)
    known = linecache.getlines(filename)
    start = first_line - 1
    if [line.rstrip() for line in known[start : start + len(shown)]] == [line.rstrip() for line in shown]:
        return
    lines = known + ["\n"] * (start + len(shown) - len(known))
    lines[start : start + len(shown)] = shown
    # No modification time: linecache then never discards the entry for want of a file.
    linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)


def dedented(text: str) -> str:
    """Source text for people to read."""
    return textwrap.dedent(text).rstrip() + "\n"


def _global_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def _definition(code: CodeType, lines: list[str]) -> Definition | None:
    if not lines:
        return None
    candidates = [node for node in _definitions("".join(lines)) if _first_line(node) == code.co_firstlineno]
    if code.co_name == "<lambda>":
        return _lambda(code, [node for node in candidates if isinstance(node, ast.Lambda)])
    named = (node for node in candidates if not isinstance(node, ast.Lambda) and node.name == code.co_name)
    return next(named, None)


@lru_cache(maxsize=16)
def _definitions(text: str) -> tuple[Definition, ...]:
    try:
        with _PARSING:
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return tuple(node for node in ast.walk(tree) if isinstance(node, kinds))


def _first_line(node: Definition) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _lambda(code: CodeType, candidates: list[ast.Lambda]) -> ast.Lambda | None:
    """Which of several lambdas in one line: the smallest whose body holds every position of the code."""
    spots = [spot for spot in code.co_positions() if None not in spot and spot[2:] != (0, 0)]
    holding = [node for node in candidates if all(_holds(node.body, spot) for spot in spots)]
    if not holding:
        return candidates[0] if len(candidates) == 1 else None
    return min(holding, key=lambda node: len(ast.unparse(node)))


def _holds(body: ast.expr, spot: tuple[int | None, int | None, int | None, int | None]) -> bool:
    first_line, last_line, first_column, last_column = spot
    assert first_line is not None
    assert last_line is not None
    assert first_column is not None
    assert last_column is not None
    begins = (body.lineno, body.col_offset) <= (first_line, first_column)
    ends = (last_line, last_column) <= (body.end_lineno or 0, body.end_col_offset or 0)
    return begins and ends
