"""Engines: from a URL to connections that begin their transactions as this package needs."""

from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from session_router.database.connecting import notice_silence
from session_router.errors import InvalidDatabaseUrlError

_DRIVERS: Final = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}
_NO_PREPARED: Final = "prepared_statement_cache_size"
# Operations have deadlines of their own; `command_timeout` would end them with an outcome untold.
_ASYNCPG_OPTIONS: Final = {*signature(asyncpg.connect).parameters, _NO_PREPARED} - {
    "command_timeout"
}
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_READ: Final = {"session_router_reads": True}
_CONNECT_TIMEOUT_SEC: Final = 5.0
# Only a foreign program (a shell, a backup) can hold SQLite's own lock against us: see write_turns.
_SQLITE_BUSY_MS: Final = 10_000
_SQLITE_CACHE_KIB: Final = 32_768
_SQLITE_CHECKPOINT_PAGES: Final = 8_000


def parse_url(url: str | URL) -> URL:
    """Parse a database URL and put in the driver that this package uses.

    Accepts `postgresql://`, `postgres://` and `sqlite://`, with or without the driver, and
    libpq's `sslmode`, which asyncpg calls `ssl`.

    Raises:
        InvalidDatabaseUrlError: it cannot be parsed, or names another database. The message
            holds no password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidDatabaseUrlError(
            "the database URL cannot be parsed (it is not shown, it may hold a password); write "
            "postgresql://user:password@host:5432/database or sqlite:///path/to/file.db."
        ) from None
    driver = _DRIVERS.get(parsed.drivername)
    shown = parsed.set(query={}).render_as_string()  # a query may hold a password too
    if driver is None:
        raise InvalidDatabaseUrlError(
            f"database URL {shown} names {parsed.drivername!r}; use postgresql:// or sqlite://."
        )
    if driver.startswith("sqlite") and parsed.host:
        raise InvalidDatabaseUrlError(
            f"database URL {shown} has a host, which SQLite has not; write "
            "three slashes for a relative path (sqlite:///file.db), four for an absolute one."
        )
    if driver.startswith("postgresql"):
        parsed = _checked_for_asyncpg(parsed, shown)
    return parsed.set(drivername=driver)


def _checked_for_asyncpg(url: URL, shown: str) -> URL:
    """Refuse what asyncpg would stumble over at the first connection; take libpq's `sslmode`."""
    if url.port is not None and not 1 <= url.port <= 65_535:
        raise InvalidDatabaseUrlError(f"database URL {shown} has port {url.port}; use 1 to 65535.")
    if "sslmode" in url.query:
        mode = url.query["sslmode"]
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    if "ssl" in url.query and url.query["ssl"] not in _SSL_MODES:
        raise InvalidDatabaseUrlError(
            f"database URL {shown} asks for sslmode {url.query['ssl']!r}; use one of "
            f"{', '.join(_SSL_MODES)}."
        )
    for name in url.query:
        if name not in _ASYNCPG_OPTIONS:
            raise InvalidDatabaseUrlError(
                f"database URL {shown} has the option {name!r}, which asyncpg does not take; "
                "remove it from the query."
            )
    return url


def create_engine(url: str | URL) -> AsyncEngine:
    """Create an engine for `url`; no connection is made yet.

    Args:
        url: as `parse_url` takes it. `?prepared_statement_cache_size=0` makes it fit for a pooler
            that hands out connections by the transaction, such as PgBouncer.

    Raises:
        InvalidDatabaseUrlError: see `parse_url`.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        engine = create_async_engine(parsed, connect_args=_connect_args(parsed))
        notice_silence(engine, is_pooler=parsed.query.get(_NO_PREPARED) == "0")
        return engine
    # A database in memory lives in one connection, so its users take turns at that.
    options: dict[str, Any] = {} if sqlite_file(parsed) else {"pool_size": 1, "max_overflow": 0}
    return create_async_engine(parsed, poolclass=AsyncAdaptedQueuePool, **options)


def _connect_args(url: URL) -> dict[str, Any]:
    """How asyncpg is to connect, and to prepare its statements.

    Behind a pooler that hands out connections by the transaction, a statement that was prepared
    under a name is on another connection when it is run. The unnamed one is prepared anew with
    each run, in the same message.
    """
    options: dict[str, Any] = {"timeout": _CONNECT_TIMEOUT_SEC}
    if url.query.get(_NO_PREPARED) == "0":
        options |= {"statement_cache_size": 0, "prepared_statement_name_func": lambda: ""}
    return options


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite URL; None for a database in memory and for PostgreSQL."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).absolute()


def with_our_transactions(engine: AsyncEngine) -> AsyncEngine:
    """The same pool, with transactions as this package needs them.

    PostgreSQL: READ COMMITTED, whatever the host's default is. SQLite: foreign keys on, WAL,
    full durability, and BEGIN IMMEDIATE for whoever will write, so that no transaction has to
    turn from reading to writing halfway. A host that shares its engine keeps its own way of
    beginning; only SQLite's pragmas stay with the connections.
    """
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="READ COMMITTED")
    ours = engine.execution_options()
    event.listen(ours.sync_engine, "begin", _begin_on_sqlite)
    return ours


def for_reading(engine: AsyncEngine) -> AsyncEngine:
    """The same engine for transactions that only read: on SQLite they wait for no writer."""
    return engine.execution_options(**_READ)


def _begin_on_sqlite(conn: Connection) -> None:
    reads = conn.get_execution_options().get("session_router_reads", False)
    for pragma in sqlite_pragmas(conn.info, reads=reads):
        conn.exec_driver_sql(pragma)
    conn.exec_driver_sql("BEGIN DEFERRED" if reads else "BEGIN IMMEDIATE")


def sqlite_pragmas(info: dict[Any, Any], *, reads: bool) -> Iterator[str]:
    """What a connection is yet to be told before its transaction begins.

    Args:
        info: what is known of the connection, as long as it is open.
        reads: whether it will only read.
    """
    if "session_router" not in info:
        yield f"PRAGMA busy_timeout = {_SQLITE_BUSY_MS}"
        yield "PRAGMA foreign_keys = ON"
        yield "PRAGMA synchronous = FULL"
        # A batch of touches writes pages all over the file: keep them at hand, and bring them back
        # from the log less often. A fifth more touches a second with 64 callers.
        yield f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}"
        yield f"PRAGMA wal_autocheckpoint = {_SQLITE_CHECKPOINT_PAGES}"
        info["session_router"] = True
    if not reads and "session_router_wal" not in info:
        # Kept in the file. Left to writers: they come one at a time, and the switch needs that.
        yield "PRAGMA journal_mode = WAL"
        info["session_router_wal"] = True
