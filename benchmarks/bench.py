"""What every benchmark is given: a server, fresh databases on it, and how thorough to be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from tests.support.databases import PostgresDatabases
from tests.support.postgres import PostgresServer


@dataclass(frozen=True)
class Bench:
    """The set-up of one run.

    Attributes:
        quick: a rehearsal, with too few samples to judge by.
    """

    server: PostgresServer
    databases: PostgresDatabases
    quick: bool

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The URL of a fresh database with our tables, while the block lasts."""
        fresh = self.databases.fresh()
        url = await asyncio.to_thread(fresh.__enter__)
        try:
            yield url
        finally:
            await asyncio.to_thread(fresh.__exit__, None, None, None)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A bare asyncpg connection: what peers are measured with, and databases prepared."""
    connection = await asyncpg.connect(plain(url))
    try:
        yield connection
    finally:
        await connection.close()


def plain(url: str) -> str:
    """The URL as libpq and asyncpg take it, without SQLAlchemy's driver."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
