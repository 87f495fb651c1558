"""Where the migration files lie and what they are. Not for: applying them (``migrations``)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from goque.errors import GoqueError
from goque.sql.statement import quoted_schema

_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One forward step of the schema. ``text`` says ``{schema}`` wherever the schema's name belongs."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def sql(self, schema: str) -> str:
        """The text for this schema."""
        return self.text.replace("{schema}", quoted_schema(schema))


def folder() -> Path:
    """The packaged migrations: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def load(where: Path | None = None) -> Sequence[Migration]:
    """All migrations of a folder in order; a gap or a doubled number is an error."""
    found = []
    for path in sorted((where or folder()).glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise GoqueError(f"{path} is no migration; name it NNNN_what_it_does.sql.")
        found.append(Migration(int(match["number"]), match["name"], path.read_text(encoding="utf-8")))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise GoqueError(
            f"Migrations must be numbered 1, 2, 3 ... without gaps; found {numbers} in {where or folder()}."
        )
    return tuple(found)


@cache
def newest() -> int:
    """The number of the newest packaged migration, 0 if there is none."""
    return max((migration.number for migration in load()), default=0)


def schema_option(schema: str) -> str:
    """What to add to a command for a schema that is not the default."""
    return "" if schema == "goque" else f" --schema {schema}"
