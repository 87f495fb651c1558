"""``%load_ext goque``: a cell's code as a task or as one task per item. Not for: anything that ``Queue`` does better.

%%goque for path in paths with name="sizes", max_attempts=1
import os
os.path.getsize(path)
"""

from __future__ import annotations

import ast
import re
from typing import Any

from goque.app.queue import Queue
from goque.errors import InvalidInput

_LINE = re.compile(
    r"^\s*(?:for\s+(?P<names>.+?)\s+in\s+(?P<items>.+?))?(?:\s*\bwith\s+(?P<options>.+))?\s*$", re.DOTALL
)
_NAME = "cell"


def load(shell: Any) -> None:
    """Make ``%goque`` and ``%%goque`` known to an IPython shell."""

    def goque(line: str, cell: str | None = None) -> Any:
        queue = _queue(shell)
        return _looked(queue, line) if cell is None else _given(shell, queue, line, cell)

    goque.__doc__ = f"{__doc__}\n    %goque status"
    shell.register_magic_function(goque, magic_kind="line_cell", magic_name="goque")


def _queue(shell: Any) -> Queue:
    """The queue that the notebook calls ``q``, or one of ours under that name."""
    found = shell.user_ns.get("q")
    if found is None:
        found = shell.user_ns["q"] = Queue()
    if not isinstance(found, Queue):
        raise InvalidInput(f"q is {type(found).__name__} here; %goque works on the queue of this name")
    return found


def _looked(queue: Queue, line: str) -> Any:
    if line.strip() not in ("", "status"):
        raise InvalidInput(
            f"%goque knows status, not {line.strip()!r}; q.dashboard(), q.history() and q.batch() do more"
        )
    return queue.dashboard()


def _given(shell: Any, queue: Queue, line: str, cell: str) -> Any:
    """The task or the batch that runs this cell; its value is that of the last line."""
    match = _LINE.match(line)
    if match is None:
        raise InvalidInput(
            "write %%goque, or %%goque for NAME in ITEMS, and options behind it: with name=..., queue=..."
        )
    options = eval(f"dict({match['options'] or ''})", shell.user_ns)
    function = _function(shell, cell, match["names"] or "")
    if match["names"] is None:
        return queue.options(**options).submit(function)
    items = eval(match["items"], shell.user_ns)
    give = queue.starmap if "," in match["names"] else queue.map
    return give(function, items, **options)


def _function(shell: Any, cell: str, parameters: str) -> Any:
    """A function of the notebook with this body, whose source can be found as that of any other."""
    tree = ast.parse(cell)
    if not tree.body:
        raise InvalidInput("the cell is empty")
    lines = cell.splitlines()
    if isinstance(last := tree.body[-1], ast.Expr):
        before = lines[last.lineno - 1].encode()[: last.col_offset].decode()
        lines[last.lineno - 1 :] = [f"{before}return ({ast.get_source_segment(cell, last)}", ")"]
    # The further lines of a text are part of it, and stay where they are.
    of_texts = {
        number
        for node in ast.walk(tree)
        if isinstance(node, (ast.Constant, ast.JoinedStr))
        for number in range(node.lineno, node.end_lineno or 0)
    }
    body = "\n".join(one if number in of_texts else f"    {one}" for number, one in enumerate(lines))
    text = f"def {_NAME}({parameters}):\n{body}\n"
    scratch: dict[str, Any] = {}
    exec(compile(text, shell.compile.cache(text, shell.execution_count), "exec"), shell.user_ns, scratch)
    return scratch[_NAME]
