"""SQL by hand, past all of our code: as somebody does who should not."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url


async def execute(url: str, *statements: str) -> list[Any]:
    """Run statements in one session, and return the rows of the last one.

    Written for PostgreSQL; on SQLite the schema's name is left out.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        # In a thread: it waits for writers whose transactions go on in this event loop.
        return await asyncio.to_thread(_on_sqlite, str(parsed.database), statements)
    plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    postgres = await asyncpg.connect(plain)
    try:
        for statement in statements[:-1]:
            await postgres.execute(statement)
        return list(await postgres.fetch(statements[-1]))
    finally:
        await postgres.close()


def _on_sqlite(path: str, statements: Sequence[str]) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        rows: list[Any] = []
        for statement in statements:
            rows = connection.execute(statement.replace("session_router.", "")).fetchall()
        connection.commit()
        return rows
