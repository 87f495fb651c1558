"""Where code comes from: installed, or the user's own. Not for: reading source text (``sources``)."""

from __future__ import annotations

import inspect
import os
import site
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import ModuleType

_shipped: dict[str, bytes] = {}


def note_shipped(name: str) -> None:
    """Remember a module that travels by value."""
    _shipped[name] = name.encode()


def shipped_names() -> tuple[bytes, ...]:
    """The modules that travel by value, as they would be spelled in a pickle."""
    return tuple(_shipped.values())


def travels_by_value(module: str | None) -> bool:
    """Whether code of this module is pickled whole, because no other process can import it."""
    if module is None or module in ("__main__", "__mp_main__") or module not in sys.modules:
        return True
    return any(module == name or module.startswith(name + ".") for name in _shipped)


@cache
def installed(filename: str) -> bool:
    """Whether a file belongs to Python or to an installed package, so that a worker may be expected to have it."""
    if filename.startswith("<"):
        return filename.startswith("<frozen")
    return os.path.realpath(filename).startswith(_installed_roots())


def module_file(name: str) -> str | None:
    """The file or folder of an imported module; None for built-in ones."""
    module = sys.modules.get(name)
    if module is None:
        return None
    file = getattr(module, "__file__", None)
    if file is None:
        file = next(iter(getattr(module, "__path__", ())), None)
    return str(file) if file else None


def is_local(name: str) -> bool:
    """Whether a module lies in the user's own folders, neither installed (editable included) nor shipped."""
    file = module_file(name)
    return file is not None and not travels_by_value(name) and not installed(file) and not _editable(name)


def shippable(module: ModuleType) -> bool:
    """Whether a module consists of Python source, which is what can travel by value."""
    file = getattr(module, "__file__", None)
    return file.endswith(".py") if file else bool(getattr(module, "__path__", None))


@cache
def _installed_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    roots += [sys.prefix, sys.base_prefix, *_site_folders()]
    roots += [line for folder in _site_folders() for line in _path_file_lines(Path(folder))]
    real = {os.path.realpath(root) for root in roots}
    return tuple(root + os.sep for root in sorted(real) if root != os.sep)


def _site_folders() -> list[str]:
    return [*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_paths()["purelib"]]


def _path_file_lines(folder: Path) -> list[str]:
    """Folders that .pth files add to the path: editable installs, which every process of this environment sees."""
    lines: list[str] = []
    if folder.is_dir():
        for file in folder.glob("*.pth"):
            lines += [line.strip() for line in file.read_text("utf-8", "replace").splitlines()]
    return [line for line in lines if os.path.isabs(line) and os.path.isdir(line)]


def _editable(name: str) -> bool:
    """Whether an editable install maps this name by an import hook instead of a .pth line."""
    top = name.partition(".")[0]
    hooks = [module for hook, module in list(sys.modules.items()) if hook.startswith("__editable__")]
    return any(top in getattr(module, "MAPPING", {}) for module in hooks)


def outside() -> int:
    """The stack level, for ``warnings.warn`` of the caller, of the first frame that is not goque's: the user's line."""
    level = 0
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("goque."):
        frame = frame.f_back
        level += 1
    return level
