"""Engines: from a URL to connections that begin their transactions as this package needs."""

from collections.abc import Iterator
from typing import Any, Final

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from session_router.database.asyncpg_options import asyncpg_options
from session_router.database.connection_names import ConnectionNames
from session_router.database.hosts import OneOf
from session_router.database.keepalive import notice_silence
from session_router.database.sqlite_file import (
    connected,
    notice_another_file,
    open_as_its_file,
    sqlite_file,
)
from session_router.database.tls import tls_arguments
from session_router.database.url import parse_url
from session_router.errors import InvalidDatabaseUrlError

_HOSTS: Final = "session_router_hosts"
_READ: Final = {"session_router_reads": True}
# Only a foreign program (a shell, a backup) can hold SQLite's own lock against us: see write_turns.
# Less than an operation may take, so that it ends with what SQLite says: that nothing was written.
_SQLITE_BUSY_MS: Final = 5_000
_SQLITE_CACHE_KIB: Final = 32_768
_SQLITE_CHECKPOINT_PAGES: Final = 8_000


def create_engine(
    url: str | URL, *, may_create: bool = False, names: ConnectionNames | None = None
) -> AsyncEngine:
    """Create an engine for `url`; no connection is made yet.

    Args:
        url: as `parse_url` takes it. `?prepared_statement_cache_size=0` makes it fit for a pooler
            that hands out connections by the transaction, such as PgBouncer.
        may_create: whether a missing SQLite file is created; otherwise connecting fails.
        names: what PostgreSQL calls its connections, unless the URL has a name for them.

    Raises:
        InvalidDatabaseUrlError: see `parse_url`; or the URL names a certificate that is none.
    """
    parsed = parse_url(url)
    if (path := sqlite_file(parsed)) is None:
        return _on_postgresql(parsed, names or ConnectionNames())
    engine = create_async_engine(
        parsed, poolclass=AsyncAdaptedQueuePool, connect_args={"async_creator_fn": connected}
    )
    open_as_its_file(engine, path, may_create=may_create)
    return engine


def _on_postgresql(url: URL, names: ConnectionNames) -> AsyncEngine:
    options = asyncpg_options(url)
    arguments = options.arguments | tls_arguments(url, options.tls)
    bare, hosts = url.set(query={}), ""
    if len(options.addresses) > 1:
        # SQLAlchemy's dialect asks this instead of asyncpg.connect.
        arguments["async_creator_fn"] = OneOf(options.addresses, asyncpg.connect).connect
        bare = URL.create(url.drivername, url.username, url.password, database=url.database)
        hosts = ",".join(f"{host}:{port}" for host, port in options.addresses)
    elif options.addresses:
        arguments["host"], arguments["port"] = options.addresses[0]
    engine = create_async_engine(
        bare, connect_args=arguments, execution_options={_HOSTS: hosts} if hosts else {}
    )
    notice_silence(engine, is_pooler=options.is_for_pooler)
    if not options.is_named:
        names.give_to(engine)
    return engine


def name_of(engine: AsyncEngine) -> str:
    """How the log names the database of an engine: by its address, without who connects."""
    url, hosts = engine.url, engine.get_execution_options().get(_HOSTS)
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database}"
    where = hosts or (f"{url.host}:{url.port or 5432}" if url.host else "")
    return f"postgresql://{where}/{url.database or ''}"


def supported(engine: AsyncEngine) -> AsyncEngine:
    """Return `engine` if this package can work on it.

    Raises:
        InvalidDatabaseUrlError: it is no async engine, or has another dialect or driver.
    """
    given: object = engine  # callers without a type checker hand over anything
    if not isinstance(given, AsyncEngine):
        raise InvalidDatabaseUrlError(
            f"the engine is no AsyncEngine but {type(given).__name__}; use what "
            "sqlalchemy.ext.asyncio.create_async_engine makes."
        )
    driver = f"{engine.dialect.name}+{engine.dialect.driver}"
    if driver not in ("postgresql+asyncpg", "sqlite+aiosqlite"):
        raise InvalidDatabaseUrlError(
            f"the engine is for {driver}; use postgresql+asyncpg or sqlite+aiosqlite."
        )
    if driver.startswith("sqlite") and str(engine.url.database).startswith("file:"):
        raise InvalidDatabaseUrlError(
            f"the engine's database is the URI {engine.url.database!r}, beside whose file writers "
            "could not take turns; name the file by its path."
        )
    return engine


def with_our_transactions(engine: AsyncEngine) -> AsyncEngine:
    """The same pool, with transactions as this package needs them.

    PostgreSQL: READ COMMITTED, whatever the host's default is. SQLite: foreign keys on, WAL,
    full durability, and BEGIN IMMEDIATE for whoever will write, so that no transaction has to
    turn from reading to writing halfway. A host that shares its engine keeps its own way of
    beginning; only SQLite's pragmas stay with the connections.
    """
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="READ COMMITTED")
    if (path := sqlite_file(engine.url)) is not None:
        notice_another_file(engine, path)
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
