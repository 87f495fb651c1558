"""Applying migrations: once, in order, by one at a time, and never on a schema that is not understood."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from goque.errors import DatabaseError, GoqueError, MigrationNeeded
from goque.postgres import migrations, sources
from goque.postgres.database import Database
from tests.integration.conftest import MakeStatement


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(
        "CREATE TABLE {schema}.thing (n bigint);\nINSERT INTO {schema}.thing VALUES (1); -- 100% {braces}\n"
    )
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE {schema}.thing ADD m text DEFAULT '%s';\n")
    return tmp_path


@pytest.fixture
def empty(dsn: str) -> Database:
    return Database(dsn, schema="my queue", max_connections=4)


def test_migrating_twice_applies_each_once(empty: Database, folder: Path, statement: MakeStatement) -> None:
    assert [migration.name for migration in migrations.pending(empty, folder=folder)] == ["first", "second"]
    assert [migration.number for migration in migrations.migrate(empty, folder=folder)] == [1, 2]
    assert migrations.migrate(empty, folder=folder) == []
    assert migrations.pending(empty, folder=folder) == []
    migrations.check(empty, folder=folder)
    assert empty.all(statement('SELECT * FROM "my queue".thing', read=tuple)) == [(1, "%s")]
    empty.close()


def test_a_missing_and_an_older_schema_name_the_command(empty: Database, folder: Path) -> None:
    with pytest.raises(MigrationNeeded, match=r"is missing.*goque migrate --schema my queue") as caught:
        migrations.check(empty, folder=folder)
    assert (caught.value.found, caught.value.wanted) == (None, 2)
    later = folder / "0002_second.sql"
    text = later.read_text()
    later.unlink()
    migrations.migrate(empty, folder=folder)
    later.write_text(text)
    with pytest.raises(MigrationNeeded, match="goque migrate") as caught:
        migrations.check(empty, folder=folder)
    assert (caught.value.found, caught.value.wanted) == (1, 2)
    assert len(migrations.migrate(empty, folder=folder)) == 1
    empty.close()


def test_a_newer_schema_is_refused_by_all(empty: Database, folder: Path) -> None:
    migrations.migrate(empty, folder=folder)
    (folder / "0002_second.sql").unlink()
    for act in (migrations.check, migrations.migrate, migrations.pending):
        with pytest.raises(MigrationNeeded, match="Upgrade goque") as caught:
            act(empty, folder=folder)
        assert (caught.value.found, caught.value.wanted) == (2, 1)
    empty.close()


def test_a_changed_migration_is_refused(empty: Database, folder: Path) -> None:
    migrations.migrate(empty, folder=folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE {schema}.other (n bigint);")
    with pytest.raises(DatabaseError, match="0001_first differs"):
        migrations.check(empty, folder=folder)
    empty.close()


def test_a_failing_migration_leaves_what_came_before_and_nothing_of_itself(
    empty: Database, folder: Path, statement: MakeStatement
) -> None:
    (folder / "0002_second.sql").write_text("CREATE TABLE {schema}.half (n bigint); SELECT 1/0;")
    with pytest.raises(DatabaseError) as caught:
        migrations.migrate(empty, folder=folder)
    assert caught.value.sqlstate == "22012"
    assert [migration.number for migration in migrations.pending(empty, folder=folder)] == [2]
    assert empty.one(statement("SELECT to_regclass('\"my queue\".half') IS NULL"))
    empty.close()


def test_many_at_once_apply_each_once(empty: Database, folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrations.migrate(empty, folder=folder), range(4)))
    assert sorted(migration.number for some in applied for migration in some) == [1, 2]
    empty.close()


def test_the_script_does_what_migrating_does(empty: Database, folder: Path) -> None:
    text = migrations.script(schema="my queue", folder=folder)
    with psycopg.connect(empty.dsn, autocommit=True) as connection:
        connection.execute(text.encode())
    migrations.check(empty, folder=folder)
    assert migrations.migrate(empty, folder=folder) == []
    empty.close()


@pytest.mark.parametrize("name", ["0004_gap.sql", "0002_twice.sql", "hello.sql"])
def test_a_folder_that_is_not_in_order_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1")
    with pytest.raises(GoqueError):
        sources.load(folder)


def test_the_packaged_migrations_are_found_and_applied_to_the_template(database: Database) -> None:
    assert sources.newest() >= 1
    migrations.check(database)
