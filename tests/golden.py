"""The text of every query of the package, kept in ``tests/architecture/golden`` so that a change of SQL is seen.

To write the files anew after a wanted change: ``python -m tests.golden``.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import goque.queries
from goque.queries import roles
from goque.sql import Template, all_templates

GOLDEN = Path(__file__).parent / "architecture" / "golden"
_CLAUSE = re.compile(
    r" (?=(?:FROM|WHERE|GROUP BY|HAVING|ORDER BY|LIMIT|FOR UPDATE|RETURNING|ON CONFLICT)\b)"
    r"|(?<!CROSS)(?<!LEFT) (?=(?:CROSS JOIN|LEFT JOIN|JOIN)\b)"
    r"|(?<=\)),(?=\"\w+\"(?:\([^()]*\))? AS (?:MATERIALIZED )?\()"
)


def package_templates() -> list[Template[Any]]:
    """Every template of ``goque.queries``, by name."""
    modules = {module.name for module in pkgutil.iter_modules(goque.queries.__path__)}
    for module in modules:
        importlib.import_module(f"goque.queries.{module}")
    return sorted((one for one in all_templates() if one.name.partition(".")[0] in modules), key=lambda one: one.name)


def rendered(template: Template[Any]) -> str:
    """The text, one clause per line, under a header with the types that are declared for it."""
    takes = ", ".join(f"{name} {sql_type.name}" for name, sql_type in sorted(template.parameters.items()))
    gives = ", ".join(f"{name} {sql_type.name}" for name, sql_type, _ in template.columns)
    text = _CLAUSE.sub(lambda match: "\n" if match[0] == " " else ",\n", template.text)
    return f"-- takes {takes}\n-- gives {gives}\n{text}\n"


def grants() -> str:
    """What each database role may do; of all but the first what it may do besides."""
    looks = roles.rights(roles.READ)
    rights = [(role, right) for role in roles.ROLES for right in sorted(roles.rights(role)) if right not in looks]
    lines = [(roles.READ, right) for right in sorted(looks)] + rights
    return "".join(f"{role} {right.what} {right.on}.{right.column}\n" for role, right in lines)


def numbered(text: str) -> tuple[str, list[str]]:
    """The text with ``$1``, ``$2`` in place of names, and the names in that order."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return re.sub(r"%\((\w+)\)s", number, text), names


def main() -> None:
    """Write all files, and remove those of queries that are gone."""
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*.sql"):
        old.unlink()
    for template in package_templates():
        (GOLDEN / f"{template.name}.sql").write_text(rendered(template))
    (GOLDEN / "roles.txt").write_text(grants())


if __name__ == "__main__":
    main()
