"""Plain SQL on either database, as somebody runs it who does not use this package."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url


def is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def plain(url: str) -> str:
    """The URL as other programs than SQLAlchemy take it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement, and give its rows; on SQLite tables lose the schema's name."""
    if is_sqlite(url):
        with closing(sqlite3.connect(str(make_url(url).database), isolation_level=None)) as file:
            return file.execute(statement.replace("session_router.", "")).fetchall()
    async with connected(url) as connection:
        return [tuple(row) for row in await connection.fetch(statement)]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to PostgreSQL."""
    connection = await asyncpg.connect(plain(url))
    try:
        yield connection
    finally:
        await connection.close()
