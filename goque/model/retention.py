"""How long finished work stays unless somebody says otherwise. Not for: removing it (``maintenance.cleaner``)."""

from __future__ import annotations

DAY = 86_400.0
DONE_S = 7 * DAY
"""Single tasks, after they are done."""
FAILED_S = 30 * DAY
"""Single tasks, after they failed for good or were canceled."""
BATCHES_S = 30 * DAY
"""Batches as a whole, after their last change."""
UNUSED_S = 7 * DAY
"""Functions and lanes, after their last use; far longer than a client takes one for granted (``client.functions``)."""
GONE_S = 90 * DAY
"""What is known of workers, after they ended or were lost."""
