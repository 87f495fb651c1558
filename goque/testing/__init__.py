"""For tests of code that uses goque: a queue on a database of the test's own, work run in the test, time that moves.

With ``pytest_plugins = ["goque.testing.fixtures"]`` in a conftest, a test takes the fixture ``queue``. Not for: fakes.
What runs is the SQL, and nearly all of the worker, that run in production.
"""

from __future__ import annotations

from goque.testing.clock import advance
from goque.testing.databases import database, server, template
from goque.testing.running import run_queued

__all__ = ["advance", "database", "run_queued", "server", "template"]
