"""A queue as a ``concurrent.futures.Executor``. Not for: durable handles, which are tasks and batches."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from typing import TYPE_CHECKING, Any

from goque.app.task import Task

if TYPE_CHECKING:
    from goque.app.queue import Queue


class QueueExecutor(Executor):
    """``submit`` gives a plain ``Future``; ``future.goque_task`` is the task behind it."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._open: set[_TaskFuture] = set()
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit one call."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        task = self._queue.submit(fn, *args, **kwargs)
        future = _TaskFuture(task)
        self._open.add(future)
        future.add_done_callback(lambda _: self._open.discard(future))
        task.add_done_callback(future.take)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; wait for what was submitted, or cancel what has not ended."""
        self._closed = True
        futures = list(self._open)
        if cancel_futures:
            for future in futures:
                future.goque_task.cancel("the executor was shut down")
        if wait:
            for future in futures:
                future.goque_task.wait()
            wait_for(futures)  # a task ends before its future, which a thread of callbacks resolves


class _TaskFuture(Future[Any]):
    """A future that a task resolves."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.goque_task = task

    def cancel(self) -> bool:
        """Cancel the task behind it, running or not."""
        return self.goque_task.cancel() and super().cancel()

    def running(self) -> bool:
        """Whether its code runs now."""
        return not self.done() and self.goque_task.running()

    def take(self, task: Task) -> None:
        """The task has ended."""
        if task.cancelled():
            super().cancel()
        if not self.set_running_or_notify_cancel():
            return
        try:
            self.set_result(task.result())
        except BaseException as error:
            self.set_exception(error)
