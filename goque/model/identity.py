"""How task ids are made: a batch's tasks are one contiguous range. Not for: allocating them (sequences do).

A task of batch ``b`` at position ``p`` has the id ``b * SPAN + p``. So neither a batch column, a position column nor
a second index is needed to find a batch's rows, their order or their inputs. Batches count from ``FIRST_BATCH``, which
leaves the ids below ``FIRST_BATCH * SPAN`` (one trillion) to tasks that belong to no batch.
"""

from __future__ import annotations

SPAN = 1_000_000_000
"""Ids per batch, which is the most items that one batch can hold."""
FIRST_BATCH = 1_000
LAST_BATCH = 9_000_000_000
"""The sequence of batches ends here, so that their tasks' ids fit a bigint."""
FIRST_BATCH_TASK = FIRST_BATCH * SPAN


def task_id(batch: int, position: int) -> int:
    """The id of the task at this position of a batch."""
    return batch * SPAN + position


def batch_of(task: int) -> int | None:
    """The batch that a task belongs to, None for a task submitted by itself."""
    return task // SPAN if task >= FIRST_BATCH_TASK else None


def position_of(task: int) -> int | None:
    """The position of a task in its batch, None for a task submitted by itself."""
    return task % SPAN if task >= FIRST_BATCH_TASK else None


CACHED = "goque cache "
"""External ids that begin so are digests of cached calls."""
