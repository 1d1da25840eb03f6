"""What every benchmark is given: a server, fresh databases on it, and how thorough to be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy.engine import make_url

from session_router.settings import DEFAULT_SCHEMA
from tests.support.databases import PostgresDatabases
from tests.support.postgres import PostgresServer

_HEARTBEAT_SEC: Final = 5.0


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


@asynccontextmanager
async def live_worker(url: str) -> AsyncIterator[UUID]:
    """The id of a worker that nothing runs as: it only renews its lease, or it would be reaped."""
    worker_id = uuid4()
    async with connected(url) as connection:
        await connection.execute(
            f"INSERT INTO {DEFAULT_SCHEMA}.workers "  # noqa: S608 - a constant
            "VALUES ($1, 'benchmark', 1, now(), now())",
            worker_id,
        )
        beating = asyncio.create_task(_beat(connection, worker_id))
        try:
            yield worker_id
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


async def _beat(connection: "asyncpg.Connection[Any]", worker_id: UUID) -> None:
    while True:
        await asyncio.sleep(_HEARTBEAT_SEC)
        await connection.execute(
            f"UPDATE {DEFAULT_SCHEMA}.workers "  # noqa: S608 - a constant
            "SET heartbeat_at = clock_timestamp() WHERE worker_id = $1",
            worker_id,
        )


def plain(url: str) -> str:
    """The URL as libpq and asyncpg take it, without SQLAlchemy's driver."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
