"""The lane that retried tasks of a batch go into. Not for: the retry (``verbs``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from goque.app.core import Core
from goque.errors import InvalidInput
from goque.model.options import Options
from goque.payload import refs
from goque.payload.functions import capture
from goque.postgres.verbs import Verbs
from goque.queries import duplicates, retry
from goque.queries.lanes import batch_lanes, lane_options

LANE_OPTIONS = ("queue", "priority", "timeout", "max_attempts", "retry", "retry_on", "give_up_on", "tags", "share_from")
"""Options that a retry may change."""


def lane_for_retry(
    core: Core, database: Verbs, batch: int, func: Callable[..., Any] | None, options: Mapping[str, Any]
) -> int | None:
    """A new lane, where function or options change or the batch was canceled; None when tasks may stay where they are.

    ``database`` sees what the retry sees, and takes back a cancel of the whole batch.
    """
    lanes = database.all(batch_lanes(batch))
    if func is None and not options and not all(closed for _, closed in lanes):
        return None
    core.require_key()
    base = core.database.one(lane_options(max(lane for lane, _ in lanes)))
    chosen = Options(
        queue=base.queue,
        priority=base.priority,
        max_attempts=base.max_attempts,
        timeout=base.timeout_s,
        tags=base.tags,
    ).updated(options)
    database.run(retry.reopen_batch(batch, owner=core.settings.owner))
    if func is None:
        lane = core.functions.lane_like(base, chosen, batch)
    else:
        with refs.collected() as used:
            used.update(base.objects)
            captured = capture(func, chosen.share_from)
            core.objects.store(captured.large)
            stored = core.functions.store(captured)
            database.run(duplicates.add_sameness(batch, stored.captured.source_key))
            lane = core.functions.new_lane(stored, chosen, batch)
    with core.tracing.sending("retry", lane.type, lane.queue) as sent:
        sent.batch = batch
        return core.functions.stored_lane(replace(lane, traceparent=sent.traceparent))


def check_options(options: Mapping[str, Any]) -> None:
    """
    Raises:
        InvalidInput: one of them cannot be changed by a retry.
    """
    for name in options:
        if name not in LANE_OPTIONS:
            raise InvalidInput(f"a retry can change {', '.join(LANE_OPTIONS)}; not {name!r}")
