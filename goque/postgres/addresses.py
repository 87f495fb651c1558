"""Reading connection strings without revealing them. Not for: connecting."""

from __future__ import annotations

import os
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from goque.errors import InvalidInput

_SECRET = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
_OWN_PLACE = frozenset({"user", "host", "port", "dbname"})


def parameters(dsn: str) -> dict[str, str]:
    """What a DSN says, as libpq reads it; ``InvalidInput`` if libpq cannot. The DSN itself is never repeated."""
    try:
        return {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    except psycopg.Error:
        raise InvalidInput(
            "The DSN cannot be read; write postgresql://user@host:5432/database or 'host=... dbname=...', "
            "and percent-encode special characters in a URI."
        ) from None


def safe_dsn(dsn: str) -> str:
    """The DSN as a URI without its secrets, for reprs, messages and logs. Never raises."""
    try:
        values = parameters(dsn)
    except InvalidInput:
        return "postgresql://(unreadable DSN)"
    hosts = values.get("host", "").split(",")
    in_query = any(host.startswith("/") or ":" in host for host in hosts) or len(hosts) > 1
    user = f"{quote(values['user'], safe='')}@" if "user" in values else ""
    extra = {key: value for key, value in values.items() if key not in _SECRET | _OWN_PLACE}
    if in_query:
        extra = {key: values[key] for key in ("host", "port") if key in values} | extra
        place = ""
    else:
        place = values.get("host", "") + (f":{values['port']}" if "port" in values else "")
    query = f"?{urlencode(extra, safe='/,:')}" if extra else ""
    return f"postgresql://{user}{place}/{quote(values.get('dbname', ''), safe='')}{query}"


def has_password(dsn: str) -> bool:
    """Whether the DSN itself carries a secret, so that a caller may warn about where it stands."""
    return bool(_SECRET & parameters(dsn).keys())


def place(dsn: str) -> str:
    """``host:port/database`` for error messages, environment defaults included."""
    values = parameters(dsn)
    if "service" in values and "host" not in values:
        return f"service {values['service']}"
    host = values.get("host") or values.get("hostaddr") or os.environ.get("PGHOST") or "local socket"
    port = values.get("port") or os.environ.get("PGPORT") or "5432"
    user = values.get("user") or os.environ.get("PGUSER") or "default"
    return f"{host}:{port}/{values.get('dbname') or os.environ.get('PGDATABASE') or user}"
