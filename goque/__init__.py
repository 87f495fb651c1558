"""goque: durable, signed work for Python functions in PostgreSQL, from a notebook or a back end.

from goque import Queue
q = Queue()
batch = q.map(func, items)
batch.results()
q.history().query("status=='error'")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from goque.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from goque import plots
    from goque.app.batch import Batch
    from goque.app.outbox import Outbox
    from goque.app.queue import Queue
    from goque.app.task import Task
    from goque.app.together import as_completed, gather, wait
    from goque.app.verbs import Changed
    from goque.client.items import grid
    from goque.errors import (
        AppUnusable,
        BatchMismatch,
        Cancel,
        DatabaseError,
        DatabaseUnavailable,
        DuplicateTask,
        GiveUp,
        GoqueError,
        HistoryTruncated,
        InUse,
        InvalidInput,
        KeyMissing,
        MigrationNeeded,
        NotCommitted,
        NotFound,
        NotPermitted,
        NotSerializable,
        PayloadError,
        PayloadTooLarge,
        PythonMismatch,
        ReadOnly,
        ResultExpired,
        ResultTooLarge,
        ResultUnavailable,
        RetryAfter,
        ServerError,
        SignatureInvalid,
        Snooze,
        TaskCanceled,
        TaskFailed,
        UnknownOption,
        WaitingInsideTask,
    )
    from goque.model.retries import Exponential, Fibonacci, Fixed
    from goque.model.states import Status
    from goque.payload.refs import Ref
    from goque.worker.task.context import TaskContext
    from goque.worker.task.context import current as context
    from goque.worker.task.once import once
    from goque.worker.task.registry import Registry, TaskOutcome

__all__ = [
    "AppUnusable",
    "Batch",
    "BatchMismatch",
    "Cancel",
    "Changed",
    "DatabaseError",
    "DatabaseUnavailable",
    "DuplicateTask",
    "Exponential",
    "Fibonacci",
    "Fixed",
    "GiveUp",
    "GoqueError",
    "HistoryTruncated",
    "InUse",
    "InvalidInput",
    "KeyMissing",
    "MigrationNeeded",
    "NotCommitted",
    "NotFound",
    "NotPermitted",
    "NotSerializable",
    "Outbox",
    "PayloadError",
    "PayloadTooLarge",
    "PythonMismatch",
    "Queue",
    "ReadOnly",
    "Ref",
    "Registry",
    "ResultExpired",
    "ResultTooLarge",
    "ResultUnavailable",
    "RetryAfter",
    "ServerError",
    "SignatureInvalid",
    "Snooze",
    "Status",
    "Task",
    "TaskCanceled",
    "TaskContext",
    "TaskFailed",
    "TaskOutcome",
    "UnknownOption",
    "WaitingInsideTask",
    "as_completed",
    "context",
    "gather",
    "grid",
    "once",
    "plots",
    "wait",
]

# Loaded at first use: psycopg alone takes a tenth of a second, and a worker's children need none of it.
_HOME = {
    "AppUnusable": "goque.errors",
    "Batch": "goque.app.batch",
    "BatchMismatch": "goque.errors",
    "Cancel": "goque.errors",
    "Changed": "goque.app.verbs",
    "DatabaseError": "goque.errors",
    "DatabaseUnavailable": "goque.errors",
    "DuplicateTask": "goque.errors",
    "Exponential": "goque.model.retries",
    "Fibonacci": "goque.model.retries",
    "Fixed": "goque.model.retries",
    "GiveUp": "goque.errors",
    "GoqueError": "goque.errors",
    "HistoryTruncated": "goque.errors",
    "InUse": "goque.errors",
    "InvalidInput": "goque.errors",
    "KeyMissing": "goque.errors",
    "MigrationNeeded": "goque.errors",
    "NotCommitted": "goque.errors",
    "NotFound": "goque.errors",
    "NotPermitted": "goque.errors",
    "NotSerializable": "goque.errors",
    "Outbox": "goque.app.outbox",
    "PayloadError": "goque.errors",
    "PayloadTooLarge": "goque.errors",
    "PythonMismatch": "goque.errors",
    "Queue": "goque.app.queue",
    "ReadOnly": "goque.errors",
    "Ref": "goque.payload.refs",
    "Registry": "goque.worker.task.registry",
    "ResultExpired": "goque.errors",
    "ResultTooLarge": "goque.errors",
    "ResultUnavailable": "goque.errors",
    "RetryAfter": "goque.errors",
    "ServerError": "goque.errors",
    "SignatureInvalid": "goque.errors",
    "Snooze": "goque.errors",
    "Status": "goque.model.states",
    "Task": "goque.app.task",
    "TaskCanceled": "goque.errors",
    "TaskContext": "goque.worker.task.context",
    "TaskFailed": "goque.errors",
    "TaskOutcome": "goque.worker.task.registry",
    "UnknownOption": "goque.errors",
    "WaitingInsideTask": "goque.errors",
    "as_completed": "goque.app.together",
    "context": "goque.worker.task.context",
    "gather": "goque.app.together",
    "grid": "goque.client.items",
    "once": "goque.worker.task.once",
    "plots": "goque",
    "wait": "goque.app.together",
}
_CALLED_THERE = {"context": "current"}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'goque' has no attribute {name!r}")
    # A module of this package is not had by asking the package for it.
    there = _CALLED_THERE.get(name, name)
    value = import_module(f"goque.{there}") if home == "goque" else getattr(import_module(home), there)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext goque``: ``%goque status``, and ``%%goque`` for a cell as a task (docs/magics.md)."""
    from goque.app.magics import load

    load(shell)


def __dir__() -> list[str]:
    return __all__
