"""Cells of the notebook as their user knows them, in tracebacks from elsewhere. Not for: the names that travel.

Code of a notebook travels under a name made of the cell's content, "<notebook cell 1234>", which is the same in every
kernel. Where this kernel has run such a cell, its number says more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

_IN_TRACEBACK = re.compile(r'File "<notebook cell (\w+)>", line (\d+)')
_ANYWHERE = re.compile(r"<notebook cell (\w+)>(?::(\d+)( (?=\S))?)?")


def named(text: str, cells: Mapping[str, int] | None = None) -> str:
    """The text with "Cell In[3], line 5" where it spoke of a cell that this kernel has run, as IPython spells it."""
    if "<notebook cell " not in text:
        return text
    known = numbers() if cells is None else cells
    text = _IN_TRACEBACK.sub(lambda found: _spelled(found, known), text)
    return _ANYWHERE.sub(lambda found: _spelled(found, known), text)


def named_in(frame: DataFrame) -> DataFrame:
    """The frame with its cells named likewise. It is the caller's own, and is changed."""
    cells = numbers()
    for column in cells and frame.columns.intersection(["user_frame", "traceback"]):
        texts = frame[column]
        frame[column] = texts.map(lambda text: named(text, cells), na_action="ignore").astype(texts.dtype)
    return frame


def numbers() -> Mapping[str, int]:
    """The last number that each cell of this kernel ran under, by what its content makes of its name."""
    # IPython keeps it for its own tracebacks, and has no public way to ask for all of it.
    files: Mapping[str, int] = getattr(getattr(_shell(), "compile", None), "_filename_map", {})
    return {PurePath(name).stem: number for name, number in files.items()}


def execution_count() -> int:
    """The number of the cell that runs now."""
    number: int = getattr(_shell(), "execution_count", 0)
    return number


def at_end_of_cells(act: Callable[..., None]) -> None:
    """Have this done at the end of each cell from now on."""
    events = _shell().events
    if act not in events.callbacks["post_run_cell"]:
        events.register("post_run_cell", act)


def in_notebook() -> bool:
    """Whether a kernel runs this code; IPython in a terminal has none."""
    return getattr(_shell(), "kernel", None) is not None


def attended() -> bool:
    """Whether somebody may press a button of what the running cell shows.

    Nobody can where a program runs a notebook, as nbclient, nbconvert and papermill do. They say so: they take no
    questions for the user. Widgets would stay in the notebook, and in pages made of it, without anybody behind them.
    """
    request: dict[str, Any] = getattr(getattr(_shell(), "kernel", None), "get_parent", dict)()
    return bool(request.get("content", {}).get("allow_stdin", True))


def _shell() -> Any:
    interactive = sys.modules.get("IPython")
    return None if interactive is None else interactive.get_ipython()


def _spelled(found: re.Match[str], known: Mapping[str, int]) -> str:
    cell, line, *function = found.groups()
    if cell not in known:
        return found[0]
    return f"Cell In[{known[cell]}]" + (f", line {line}" if line else "") + (", in " if any(function) else "")
