"""What a diagnosis finds: facts about a server and its workers, judged. Not for: asking for the facts (``app.doctor``).

Each function takes what a statement of ``queries.diagnosis`` gave, and yields what is worth telling.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from goque.model.durations import in_words
from goque.model.wording import number_of
from goque.queries.diagnosis import IndexState, Pin, Server, TableState, WorkerState


class Severity(StrEnum):
    """How bad it is. With an error, work is lost, refused or not done; a warning is slow, risky or soon an error."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(NamedTuple):
    """One thing that was found. ``remedy`` is empty where nothing is to be done."""

    severity: Severity
    about: str
    """A word for its kind, for programs: "settings", "snapshot", "keys"..."""
    what: str
    remedy: str
    data: Mapping[str, Any]
    """The figures and names in it."""

    def __str__(self) -> str:
        return f"{self.severity}: {self.what}" + (f"\n  remedy: {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is still well."""

    pinned_s: float = 60.0
    """A transaction that is open for longer keeps dead rows for too long."""
    dead_rows: int = 200_000
    index_bytes: int = 64 * 1024 * 1024
    bytes_per_entry: int = 400
    """An entry of an index takes 20 to 100 bytes; several times as much is room that nothing uses."""
    skew_s: float = 1.0
    sessions: float = 0.85
    """The share of ``max_connections`` that may be in use."""
    missed: int = 2
    """Looks in a row at which a worker may be missing; at five it is lost."""


LIMITS = Limits()


def finding(severity: Severity, about: str, what: str, remedy: str = "", **data: Any) -> Finding:
    """One thing that was found, with the figures in it."""
    return Finding(severity, about, what, remedy, data)


# The server


class _Bad(NamedTuple):
    """A setting, the values that are well, and what comes of others."""

    name: str
    well: tuple[str, ...]
    severity: Severity
    because: str


_SETTINGS = (
    _Bad("fsync", ("on",), Severity.ERROR, "after a crash of the machine the database may be damaged"),
    _Bad("full_page_writes", ("on",), Severity.ERROR, "after a crash of the machine the database may be damaged"),
    _Bad("autovacuum", ("on",), Severity.ERROR, "dead rows pile up, and claims become slower and slower"),
    _Bad("track_counts", ("on",), Severity.ERROR, "autovacuum does not see where there is something to do"),
    _Bad(
        "synchronous_commit",
        ("on", "local", "remote_write", "remote_apply"),
        Severity.WARNING,
        "a crash of the server may take back work that was reported as stored",
    ),
    _Bad(
        "default_transaction_isolation",
        ("read committed",),
        Severity.WARNING,
        "behind a pooler, claims and outcomes of several workers fail each other's transactions and are repeated",
    ),
    _Bad("idle_session_timeout", ("0",), Severity.WARNING, "sessions that listen are ended; work is noticed later"),
    _Bad("transaction_timeout", ("0",), Severity.WARNING, "a large map that takes longer is refused"),
)
_FOR_THE_SERVER = frozenset({"fsync", "full_page_writes", "autovacuum", "track_counts"})
SETTINGS = ("server_version", "max_connections", *(setting.name for setting in _SETTINGS))
"""What ``settings`` wants to know. Not the timeouts that goque sets in its own sessions."""


def settings(found: Mapping[str, str], role: str) -> Iterator[Finding]:
    """Settings of the server with which work is lost, refused or slow."""
    for one in _SETTINGS:
        value = found.get(one.name)
        if value is not None and value not in one.well:
            if one.name in _FOR_THE_SERVER:
                remedy = f"ALTER SYSTEM SET {one.name} = {one.well[0]}; SELECT pg_reload_conf();"
            else:
                remedy = f"ALTER ROLE {_quoted(role)} SET {one.name} = '{one.well[0]}'; then connect anew"
            yield finding(
                one.severity, "settings", f"{one.name} is {value}: {one.because}", remedy, name=one.name, value=value
            )


def sessions(server: Server, most: int, limits: Limits) -> Iterator[Finding]:
    """Whether there is room for more connections."""
    if server.sessions >= limits.sessions * most:
        yield finding(
            Severity.WARNING,
            "connections",
            f"{server.sessions} of {most} connections are in use: new clients and workers may be refused",
            "raise max_connections, or put PgBouncer in between (Queue(dsn, listen=False), goque worker --no-listen)",
            used=server.sessions,
            most=most,
        )


def clock(ahead_s: float, limits: Limits) -> Iterator[Finding]:
    """Whether this machine's clock is right, which ``run_at=datetime.now()`` and plots rely on."""
    if abs(ahead_s) > limits.skew_s:
        direction = "ahead of" if ahead_s > 0 else "behind"
        yield finding(
            Severity.WARNING,
            "clock",
            f"this machine's clock is {in_words(round(abs(ahead_s), 1))} {direction} the database's, which decides "
            "when tasks are due",
            "synchronise the clocks (chrony, systemd-timesyncd), or use delay= instead of run_at=",
            ahead_s=ahead_s,
        )


def pins(found: Sequence[Pin], server: Server, limits: Limits) -> Iterator[Finding]:
    """Who keeps dead rows from being removed for too long."""
    old = sorted((pin for pin in found if pin.age_s >= limits.pinned_s), key=lambda pin: -pin.transactions)
    if old:
        pin = old[0]
        session = "" if pin.pid is None else f" of pid {pin.pid} ({pin.application or 'no application name'})"
        others = f"; {number_of(len(old) - 1, 'other')} as well" if len(old) > 1 else ""
        yield finding(
            Severity.WARNING,
            "snapshot",
            f"a transaction{session} of role {pin.who}, {pin.state}, has been open for {in_words(round(pin.age_s))} "
            f"and keeps all rows that died since from being removed{others}",
            _end_of(pin),
            **pin._asdict(),
        )
    if not server.sees_all:
        yield finding(
            Severity.NOTE,
            "rights",
            f"the role {server.role} is not told what other roles' sessions do: snapshots that they hold stay unseen",
            f"GRANT pg_read_all_stats TO {_quoted(server.role)};",
            role=server.role,
        )


def _end_of(pin: Pin) -> str:
    if pin.pid is None:
        return f"COMMIT PREPARED '{pin.application}'; or ROLLBACK PREPARED '{pin.application}';"
    if pin.state.startswith("idle in transaction"):
        return (
            f"SELECT pg_terminate_backend({pin.pid}); and against the next one: "
            f"ALTER ROLE {_quoted(pin.who)} SET idle_in_transaction_session_timeout = '60s';"
        )
    return f"let it end, or: SELECT pg_cancel_backend({pin.pid});"


# Our tables


def rights(usable: bool, tables: Sequence[TableState], schema: str, role: str) -> Iterator[Finding]:
    """What our role may not do."""
    if not usable:
        yield finding(
            Severity.ERROR,
            "rights",
            f"the role {role} may not use the schema {schema}",
            _joining(role),
            role=role,
        )
        return
    if hidden := [table.name for table in tables if not table.may_select]:
        yield finding(
            Severity.ERROR,
            "rights",
            f"the role {role} may not read {', '.join(hidden)}",
            _joining(role),
            role=role,
            tables=hidden,
        )


_MAY = {"read": "look", "submit": "submit", "work": "run workers", "operate": "cancel, retry and pause"}
"""What members of a role may do, by the end of its name."""


def membership(
    standing: Sequence[tuple[str, bool, bool]], tables: Sequence[TableState], role: str
) -> Iterator[Finding]:
    """What our role may do and what not, by the roles that it is in, else by what it was granted itself."""
    made = [name for name, there, _ in standing if there]
    held = [name for name, _, held in standing if held]
    may = {table.name: table for table in tables}
    if held and len(held) < len(made):
        words = {name: _MAY[name.rpartition("_")[2]] for name in made}
        able = " and ".join(dict.fromkeys(["look", *(words[name] for name in held)]))
        others = [name for name in made if name not in held and words[name] != "look"]
        remedy = "; ".join(f"to {words[name]}: GRANT {name} TO {_quoted(role)}" for name in others)
        told = f"the role {role} may {able}, as it is in {', '.join(held)}"
        yield finding(Severity.NOTE, "rights", told, remedy, role=role, roles=held)
    elif "task" in may and not (may["task"].may_insert and may["task"].may_update):
        able_alone = "look and submit" if may["task"].may_insert else "only look"
        yield finding(Severity.NOTE, "rights", f"the role {role} may {able_alone}, and run no worker", role=role)


def outdated(lacking: Sequence[tuple[str, str, str, str]]) -> Iterator[Finding]:
    """Roles that were made by an earlier version, and lack rights that this one needs."""
    if lacking:
        _, table, column, what = lacking[0]
        yield finding(
            Severity.WARNING,
            "rights",
            f"the roles {', '.join(sorted({one[0] for one in lacking}))} lack rights that this version needs, "
            f"such as {what} ({column}) on {table}",
            "goque migrate --roles gives them, as the owner of the schema",
            lacking=[list(one) for one in lacking],
        )


def _joining(role: str) -> str:
    return f"goque migrate --roles makes roles that may; then GRANT goque_read TO {_quoted(role)};"


def tables(found: Sequence[TableState], schema: str, limits: Limits) -> Iterator[Finding]:
    """Tables that are not kept clean."""
    for table in found:
        name = f"{_quoted(schema)}.{table.name}"
        if {"autovacuum_enabled=false", "autovacuum_enabled=off"} & set(table.options or ()):
            yield finding(
                Severity.ERROR,
                "autovacuum",
                f"autovacuum is switched off for {table.name}: dead rows pile up, and claims become slower and slower",
                f"ALTER TABLE {name} RESET (autovacuum_enabled);",
                table=table.name,
            )
        if table.dead > limits.dead_rows and table.dead > table.live:
            last = "never" if table.vacuumed_s is None else f"{in_words(round(table.vacuumed_s))} ago"
            yield finding(
                Severity.WARNING,
                "dead rows",
                f"{table.name} has {table.dead:,} dead rows beside {table.live:,} others; last vacuumed: {last}",
                f"VACUUM {name}; which frees nothing that a transaction still holds",
                table=table.name,
                dead=table.dead,
                live=table.live,
            )


def indexes(found: Sequence[IndexState], schema: str, limits: Limits) -> Iterator[Finding]:
    """Indexes that have become much larger than what is in them."""
    for index in found:
        if index.entries >= 0 and index.bytes > max(limits.index_bytes, limits.bytes_per_entry * index.entries):
            yield finding(
                Severity.WARNING,
                "index",
                f"the index {index.name} takes {megabytes(index.bytes)} for {index.entries:,.0f} entries",
                f"REINDEX INDEX CONCURRENTLY {_quoted(schema)}.{index.name};",
                index=index.name,
                bytes=index.bytes,
                entries=index.entries,
            )


def sizes(found: Sequence[TableState], inside: Sequence[IndexState]) -> Iterator[Finding]:
    """How much room all of it takes."""
    rows, entries = sum(table.bytes for table in found), sum(index.bytes for index in inside)
    yield finding(
        Severity.NOTE,
        "size",
        f"the tables take {megabytes(rows)}, their indexes {megabytes(entries)}",
        tables={table.name: table.bytes for table in found},
        indexes={index.name: index.bytes for index in inside},
    )


# Those who work


def workers(found: Sequence[WorkerState], version: str, limits: Limits) -> Iterator[Finding]:
    """Workers that are lost, silent, or of another version."""
    alive = [worker for worker in found if not worker.lost]
    if lost := [worker for worker in found if worker.lost]:
        yield finding(
            Severity.WARNING,
            "workers",
            f"{number_of(len(lost), 'worker')} lost lately: {_named(lost)}; what they ran was given to others",
            "look at their logs and at the kernel's (dmesg) for kills, and whether those machines reach the database",
            workers=[worker.id for worker in lost],
        )
    if silent := [worker for worker in alive if worker.missed >= limits.missed]:
        longest = max(worker.beat_s for worker in silent)
        yield finding(
            Severity.WARNING,
            "workers",
            f"{number_of(len(silent), 'worker')} not heard of for up to {in_words(round(longest))}: {_named(silent)}; "
            "missing a little longer, they are lost",
            "see whether those machines run, and whether they reach the database",
            workers=[worker.id for worker in silent],
        )
    if others := [worker for worker in alive if worker.version != version]:
        versions = ", ".join(sorted({worker.version for worker in others}))
        yield finding(
            Severity.WARNING,
            "workers",
            f"{number_of(len(others), 'worker')} of goque {versions}, while this is {version}: {_named(others)}",
            "install one version everywhere (pip install -U goque) and start those workers anew",
            workers=[worker.id for worker in others],
            versions=versions,
        )


def keys(own: Sequence[str], signed: bool, found: Iterable[WorkerState]) -> Iterator[Finding]:
    """Whether what is submitted from here is signed, and by a key that workers hold."""
    same_secret = "set GOQUE_SECRET to one secret for all clients and workers"
    if not own:
        yield finding(
            Severity.ERROR if signed else Severity.WARNING,
            "keys",
            "work in this database is signed and this process has no key: it cannot submit"
            if signed
            else "no key here: whoever can write to this database can run code on its workers",
            same_secret if signed else f"{same_secret}; goque key new makes one",
        )
        return
    alive = [worker for worker in found if not worker.lost]
    if alive and not any(own[0] in worker.key_ids for worker in alive):
        held = sorted({key for worker in alive for key in worker.key_ids})
        yield finding(
            Severity.WARNING,
            "keys",
            f"what is submitted from here is signed with the key {own[0]}, which no living worker holds "
            f"(they hold {', '.join(held) or 'none'})",
            same_secret,
            own=list(own),
            held=held,
        )


def megabytes(size: int) -> str:
    """A size in MiB, or in GiB where that is shorter."""
    return f"{size / 2**30:,.1f} GiB" if size >= 10 * 2**30 else f"{size / 2**20:,.1f} MiB"


def _named(workers: Sequence[WorkerState]) -> str:
    shown = ", ".join(f"{worker.id} ({worker.host}, pid {worker.pid})" for worker in workers[:5])
    return shown + (f" and {len(workers) - 5} more" if len(workers) > 5 else "")


def _quoted(name: str) -> str:
    """As a name in a statement that somebody is to run."""
    return name if name.isidentifier() and name.islower() else '"' + name.replace('"', '""') + '"'
