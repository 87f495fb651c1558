"""What a queue shows: DataFrames, and queries of one's own. Not for: changing anything (``queue``)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from goque.app.core import Core
from goque.notebook.cells import named_in

if TYPE_CHECKING:
    from pandas import DataFrame

    from goque.notebook.dashboard import Dashboard, Source
    from goque.observe.findings import Finding


class Looking:
    """The part of a queue that only reads."""

    _core: Core

    def history(self, **filters: Any) -> DataFrame:
        """Every run, and every task that has not run, newest first: ``q.history().query("status=='error'")``.

        Filters narrow it in the database: status, failed, outcome, task_status, since, until, queue, type, batch,
        owner, worker, external_id, task, error_type, error, attempts, longer_than, metadata; also order_by, columns,
        limit, and after for the next page (docs/looking.md).

        Raises:
            UnknownOption, InvalidInput: no such filter or column, or no such value for it.
        """
        from goque.history import frames

        return named_in(frames.history(self._core.database, owner_name=self._core.settings.owner, **filters))

    def tasks(self, **filters: Any) -> DataFrame:
        """One row per task, newest first."""
        from goque.history import frames

        return frames.tasks(self._core.database, owner_name=self._core.settings.owner, **filters)

    def count(self, **filters: Any) -> int:
        """How many tasks there are: ``q.count(status="error", queue="etl")``. Filters are those of ``tasks``."""
        from goque.history import frames

        return frames.count(self._core.database, owner_name=self._core.settings.owner, **filters)

    def batches(self, **filters: Any) -> DataFrame:
        """One row per batch with its counts, newest first."""
        from goque.history import frames

        return frames.batches(self._core.database, owner_name=self._core.settings.owner, **filters)

    def queues(self, **filters: Any) -> DataFrame:
        """One row per queue: depth by state, age of the oldest ready task, whether it is paused."""
        from goque.history import frames

        return frames.queues(self._core.database, **filters)

    def workers(self, *, alive: bool | None = None, **filters: Any) -> DataFrame:
        """One row per worker, or only the living (or the gone) ones."""
        from goque.history import frames

        return frames.workers(self._core.database, alive=alive, **filters)

    def schedules(self) -> DataFrame:
        """One row per schedule, by name: when it is due next, which slot was the last, whether it is paused."""
        from goque.history import frames

        return frames.schedules(self._core.database)

    def dashboard(self, *, every: float = 2.0) -> Dashboard:
        """The queue on one page: a live one with buttons in a notebook, and HTML where there are no widgets.

        A queue has one, however often it is asked for; every copy shows the same.

        Args:
            every: seconds between two looks; ``refresh`` takes one at once.
        """
        from goque.history import frames
        from goque.notebook.dashboard import Dashboard

        core = self._core
        if core.dashboard is None:
            source = cast("Source", self)
            core.dashboard = Dashboard(source, lambda limit: frames.running(core.database, limit), repr(self)[1:-1])
        core.dashboard.every(every)
        return core.dashboard

    def select(self, *columns: Any) -> Any:
        """A query of your own over ``goque.sql`` tables: ``q.select(tasks.type, count()).group_by(...).to_frame()``."""
        from goque.app.selecting import UserSelect

        return UserSelect.of(self._core.database, columns)

    def doctor(self) -> list[Finding]:
        """What is wrong with the server, the schema and the workers, worst first, each with its remedy.

        A finding has ``severity``, ``about``, ``what``, ``remedy`` and ``data``: ``pandas.DataFrame(q.doctor())``.
        """
        from goque.app.doctor import diagnose

        return diagnose(self._core.database, self._core.ring)

    def now(self) -> datetime:
        """The time on the database's clock, which decides when tasks are due."""
        from goque.queries import moments

        return self._core.database.one(moments.current())
