"""Registries of applications: loaded in children, described to the main process. Not for: what is in one.

``goque worker --app package.module:jobs`` has a process of its own import the module and print what is in it, so that
the main process, which holds the keys, imports no user code:
``python -m goque.worker.child.apps DESCRIPTOR REFERENCE``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from goque.errors import AppUnusable, GoqueError, InvalidInput
from goque.model.manifest import App

if TYPE_CHECKING:
    from goque.worker.task.registry import Registry

LOAD_S = 120.0
"""Seconds that importing an application may take."""
_MOST = 16 * 1024 * 1024

_loaded: dict[str | bytes, Registry] = {}
_loading = threading.Lock()


def registry_of(reference: str, code: bytes | None) -> Registry:
    """The registry, once per child. For children: this runs user code.

    Raises:
        AppUnusable: there is no registry of that name in the module. Whatever importing raises.
    """
    key = code if code is not None else reference
    with _loading:
        found = _loaded.get(key)
        if found is None:
            found = _loaded[key] = _unpacked(code) if code is not None else _imported(reference)
        return found


def packed(registry: Registry) -> App:
    """A registry that travels with its code, as one that is defined in a notebook has to.

    Raises:
        NotSerializable, PayloadTooLarge: it cannot.
    """
    from dataclasses import replace

    from goque.payload import functions

    return replace(registry.describe(), code=functions.encode(registry)[0])


def described(reference: str) -> App:
    """What an application offers, asked in a process of its own.

    Raises:
        AppUnusable: it cannot be loaded; the message has what its import printed.
    """
    from goque.worker.channel.environment import environment_of_children

    checked(reference)
    # Files, not pipes: what the import may leave running could hold a pipe open.
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "goque.worker.child.apps", str(answer.fileno()), reference],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            pass_fds=[answer.fileno()],
            env=environment_of_children(None),
        )
        try:
            process.wait(LOAD_S)
        except subprocess.TimeoutExpired:
            raise AppUnusable(f"importing {reference} took over {LOAD_S:.0f} s; look for work at import") from None
        finally:
            process.kill()
            process.wait()
        answer.seek(0)
        if process.returncode == 0:
            with suppress(ValueError):
                return App.from_json(answer.read(_MOST))
        printed.seek(0)
        said = printed.read()[-4000:].decode("utf-8", "replace").strip()
        raise AppUnusable(f"--app {reference} cannot be loaded. It said:\n{said or '(nothing)'}")


def checked(reference: str) -> str:
    """
    Raises:
        InvalidInput: this is no "package.module:name".
    """
    module, colon, name = reference.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise InvalidInput(f"an app is package.module:name, for example mypackage.jobs:jobs, not {reference!r}")
    return reference


def _imported(reference: str) -> Registry:
    from goque.worker.task.registry import Registry

    module, _, name = reference.partition(":")
    found = getattr(import_module(module), name, None)
    if not isinstance(found, Registry):
        raise AppUnusable(f"{module} has no goque.Registry called {name!r}")
    return found


def _unpacked(code: bytes) -> Registry:
    from goque.payload import functions
    from goque.worker.task.registry import Registry

    found = functions.load(code)
    assert isinstance(found, Registry)
    return found


def main(descriptor: int, reference: str) -> None:
    """Import an application and write what it offers."""
    sys.path.insert(0, "")
    try:
        text = registry_of(reference, None).describe(reference).to_json()
    except GoqueError as error:
        sys.exit(str(error))
    with os.fdopen(descriptor, "w") as answer:
        answer.write(text)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
