"""The diagnosis of a queue: asks what there is to know, and has it judged. Not for: judging (``observe.findings``)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

from goque.app.local import ring_of
from goque.app.reasons import unserved_lanes, worker_command
from goque.errors import DatabaseError, DatabaseUnavailable, MigrationNeeded, NotPermitted
from goque.observe import findings
from goque.observe.findings import LIMITS, Finding, Limits, Severity, finding
from goque.payload.keys import KeyKind, KeyRing
from goque.postgres import embedded, migrations
from goque.postgres.database import Database
from goque.queries import diagnosis, eligibility, roles
from goque.queries.settings import setting
from goque.settings import Settings
from goque.version import VERSION

LATELY_S = 3600.0
"""Workers that were lost within this time are told of."""
_WORST_FIRST = list(Severity)


def examine(settings: Settings) -> list[Finding]:
    """What is to be found where these settings lead, worst first. Starts nothing and changes nothing."""
    if settings.embedded:
        server = embedded.status(settings.home)
        if not server.running:
            what = f"the embedded server in {settings.home} does not run"
            return [finding(Severity.NOTE, "connection", what, "Queue() in a notebook, or goque worker, starts it")]
        dsn = server.dsn or ""
    else:
        dsn = settings.dsn or ""
    database = Database(
        dsn,
        schema=settings.schema,
        max_connections=1,
        pooler=not settings.embedded,
        read_only=True,
        application_name="goque doctor",
    )
    key_file = settings.key_file if settings.embedded and settings.key_file.exists() else None
    try:
        return diagnose(database, ring_of(settings.secret, key_file))
    finally:
        database.close()


def diagnose(
    database: Database,
    ring: KeyRing,
    *,
    limits: Limits = LIMITS,
    clock: Callable[[], float] = time.time,
    prefix: str = "goque",
) -> list[Finding]:
    """What is to be found in this database, worst first. ``clock`` is this machine's, ``prefix`` that of its roles."""
    found: list[Finding] = []
    try:
        for one in _findings(database, ring, limits, clock, prefix):
            found.append(one)  # one by one: what was found before something fails is told all the same
    except DatabaseUnavailable as error:
        remedy = "see whether the server runs, and whether address, firewall and password are right"
        found.append(finding(Severity.ERROR, "connection", str(error), remedy))
    except DatabaseError as error:  # whose message has the remedy
        found.append(finding(Severity.ERROR, "rights" if isinstance(error, NotPermitted) else "connection", str(error)))
    return sorted(found, key=lambda one: _WORST_FIRST.index(one.severity))


def _findings(
    database: Database, ring: KeyRing, limits: Limits, clock: Callable[[], float], prefix: str
) -> Iterator[Finding]:
    schema = database.schema
    database.all(diagnosis.server())  # once before the one that is timed: the first connects
    before = clock()
    server = database.one(diagnosis.server())
    after = clock()
    settings = dict(database.all(diagnosis.settings(findings.SETTINGS)))
    version, took = settings["server_version"], after - before
    what = f"PostgreSQL {version} at {database.profile.place} answers in {took * 1e3:.1f} ms"
    yield finding(Severity.NOTE, "connection", what, version=version, round_trip_s=took)
    yield from findings.settings(settings, server.role)
    yield from findings.sessions(server, int(settings["max_connections"]), limits)
    yield from findings.clock((before + after) / 2 - server.now.timestamp(), limits)
    yield from findings.pins(database.all(diagnosis.pins()), server, limits)

    usable = database.first(diagnosis.usable(schema))
    tables = database.all(diagnosis.tables(schema))
    refused = list(findings.rights(usable is None or usable[0], tables, schema, server.role))
    yield from refused
    if any(one.severity is Severity.ERROR for one in refused):
        return
    try:
        migrations.check(database)
    except MigrationNeeded as error:
        what, _, remedy = " ".join(str(error).split()).partition(" Run: ")
        yield finding(Severity.ERROR, "schema", what, remedy, found=error.found, wanted=error.wanted)
        return
    except DatabaseError as error:
        yield finding(Severity.ERROR, "schema", str(error))
        return
    yield from findings.membership(database.all(roles.standing(prefix)), tables, server.role)
    yield from findings.outdated(_lacking(database, prefix))
    indexes = database.all(diagnosis.indexes(schema))
    yield from findings.tables(tables, schema, limits)
    yield from findings.indexes(indexes, schema, limits)
    yield from findings.sizes(tables, indexes)
    yield from _work(database, ring, limits)


def _lacking(database: Database, prefix: str) -> list[tuple[str, str, str, str]]:
    """The rights that roles lack here. One that has none at all in this schema has never been given it."""
    lacking = database.all(roles.lacking(database.schema, prefix))
    lacks = Counter(name for name, *_ in lacking)
    asked = {
        name: sum(bool(right.column) for right in roles.rights(role))
        for role, name in zip(roles.ROLES, roles.names(prefix), strict=True)
    }
    return [one for one in lacking if lacks[one[0]] < asked[one[0]]]


def _work(database: Database, ring: KeyRing, limits: Limits) -> Iterator[Finding]:
    """Whether what is to be done can be done by those who are there."""
    workers = database.all(diagnosis.workers(LATELY_S))
    yield from findings.workers(workers, VERSION, limits)
    signed = database.first(setting("signed")) is not None
    yield from findings.keys(ring.ids(KeyKind.CODE), signed, workers)
    if not any(not worker.lost for worker in workers) and database.first(eligibility.ready_lanes()) is not None:
        command = worker_command(database)
        yield finding(Severity.WARNING, "work", "work is ready, and no worker is alive", f"start one with: {command}")
    for told in unserved_lanes(database):
        what, _, remedy = told.rpartition("; ")
        yield finding(Severity.WARNING, "work", what, remedy)
