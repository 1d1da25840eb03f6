"""Databases that keep a registration waiting for as long as a test wants."""

import asyncio
import fcntl
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import asyncpg
from sqlalchemy.engine import make_url

_PEN = ".turn-pen"
_TURNS = (".turn-gate", _PEN)


@asynccontextmanager
async def session_held(url: str, session_id: str) -> AsyncIterator[None]:
    """While the block runs, whoever would change this session waits (on SQLite: any session)."""
    if make_url(url).get_backend_name() == "sqlite":
        with closing(sqlite3.connect(_file(url), isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            yield
            file.execute("ROLLBACK")
        return
    connection = await _connect(url)
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT FROM session_router.sessions WHERE session_id = $1 FOR UPDATE", session_id
            )
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def without_signals(url: str) -> AsyncIterator[None]:
    """While the block runs, whoever would read or write signals is refused.

    What it opened on the database must be closed within: the table is locked to bring it back.
    """
    schema = "" if make_url(url).get_backend_name() == "sqlite" else "session_router."
    await _execute(url, f"ALTER TABLE {schema}interrupt_signals RENAME TO away")
    try:
        yield
    finally:
        await _execute(url, f"ALTER TABLE {schema}away RENAME TO interrupt_signals")


async def somebody_waits(url: str) -> bool:
    """Whether a change is on its way and waits for what `session_held` holds."""
    if make_url(url).get_backend_name() == "sqlite":
        return _is_locked(_file(url).with_name(_file(url).name + _PEN))
    connection = await _connect(url)
    try:
        waiting = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    finally:
        await connection.close()
    return bool(waiting)


def nobody_writes(url: str) -> bool:
    """Whether no writer of ours has its turn at an SQLite file, or is next; elsewhere always."""
    if make_url(url).get_backend_name() != "sqlite":
        return True
    file = _file(url)
    return not any(_is_locked(file.with_name(file.name + turn)) for turn in _TURNS)


async def _execute(url: str, statement: str) -> None:
    if make_url(url).get_backend_name() == "sqlite":
        # In a thread, since it may have to wait for a transaction of this very event loop.
        await asyncio.to_thread(_execute_on_file, _file(url), statement)
        return
    connection = await _connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _execute_on_file(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(statement)


def _file(url: str) -> Path:
    return Path(str(make_url(url).database))


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    plain = make_url(url).set(drivername="postgresql")
    return await asyncpg.connect(plain.render_as_string(hide_password=False))


def _is_locked(path: Path) -> bool:
    """Whether another descriptor has the file's lock: then a writer of ours has its turn."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
