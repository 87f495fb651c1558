"""Databases for tests: one migrated once, and a quick copy of it for each test. Not for: what is done with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from goque.postgres import migrations, scratch
from goque.postgres.database import Database
from goque.queries import settings

MARK = "test"
"""The setting by which a database is known to have been made for tests."""

server = scratch.server
_numbers = count(1)


@contextmanager
def template(server_dsn: str) -> Iterator[str]:
    """A migrated database to be copied; its name."""
    name = f"goque_template_{os.getpid()}_{next(_numbers)}"
    with scratch.database(server_dsn, name) as dsn:
        migrated = Database(dsn)
        migrations.migrate(migrated)
        migrated.run(settings.set_setting(MARK, {"by": "goque.testing"}))
        migrated.close()
        yield name


@contextmanager
def database(server_dsn: str, template_name: str) -> Iterator[str]:
    """A copy of such a template for one test, dropped at the end; its DSN."""
    name = f"goque_test_{os.getpid()}_{next(_numbers)}"
    with scratch.database(server_dsn, name, template=template_name) as dsn:
        yield dsn
