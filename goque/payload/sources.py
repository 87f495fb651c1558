"""Source text of functions, and making tracebacks show it elsewhere. Not for: pickling, or comparing values."""

from __future__ import annotations

import ast
import builtins
import dis
import linecache
import re
import textwrap
import threading
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


# What a function says and which names it reads follow from its code object, and many tasks are made of one function.
# Equal code from two files is equal to Python: the file's name goes into the key.
_of_code = lru_cache(maxsize=512)


def source_of(code: CodeType) -> SourceText | None:
    """The source of a function's code, decorators included; None when it is not to be had."""
    return _source_of(code, code.co_filename)


def normalised_source(code: CodeType) -> str | None:
    """The source without comments, blank lines, indentation or formatting: what the function says, not how."""
    return _normalised_source(code, code.co_filename)


def captured_values(function: FunctionType) -> dict[str, Any]:
    """What a function reads from around it: closure cells and globals, those of inner functions included, by name."""
    found: dict[str, Any] = {}
    for name in _global_names(function.__code__):
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


@_of_code
def _source_of(code: CodeType, filename: str) -> SourceText | None:
    lines = linecache.getlines(filename)
    node = _definition(code, lines)
    if node is None:
        return None
    first = code.co_firstlineno
    return SourceText(stable_filename(filename), first, "".join(lines[first - 1 : node.end_lineno]))


@_of_code
def _normalised_source(code: CodeType, filename: str) -> str | None:
    node = _definition(code, linecache.getlines(filename))
    return None if node is None else ast.unparse(node)


@_of_code
def _global_names(code: CodeType) -> list[str]:
    reads = ("LOAD_GLOBAL", "LOAD_NAME")
    names = {str(step.argval) for step in dis.get_instructions(code) if step.opname in reads}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names.update(_global_names(constant))
    return sorted(names)


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
