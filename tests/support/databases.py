"""Databases for tests: each fresh, with the tables in place, and gone afterwards."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy.engine import make_url

from session_router.database.migrate import Target, upgrade
from tests.support.postgres import PostgresServer

T = TypeVar("T")

OVERRIDE: Final = "SESSION_ROUTER_TEST_DATABASE_URL"
_numbers: Final = count()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, also from within a running event loop, which fixtures may be called from."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


class PostgresDatabases:
    """Makes databases on one server, as copies of one that has the tables."""

    def __init__(self, server_url: str) -> None:
        self._url = make_url(server_url)
        self._template = self._name()
        run(self._execute(f"CREATE DATABASE {self._template}"))
        run(upgrade(Target(self._of(self._template))))

    @contextmanager
    def fresh(self, *, empty: bool = False) -> Iterator[str]:
        """The URL of a new database; `empty`: without tables."""
        url = self.create(empty=empty)
        try:
            yield url
        finally:
            self.drop(url)

    def create(self, *, empty: bool = False) -> str:
        """The URL of a new database, which somebody drops."""
        name = self._name()
        template = "template1" if empty else self._template
        run(self._execute(f"CREATE DATABASE {name} TEMPLATE {template}"))
        return self._of(name)

    def drop(self, url: str) -> None:
        run(self._execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)"))

    @contextmanager
    def in_latin1(self) -> Iterator[str]:
        """The URL of a new database that cannot store every text, with the tables."""
        name = self._name()
        latin1 = "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
        run(self._execute(f"CREATE DATABASE {name} {latin1}"))
        try:
            run(upgrade(Target(self._of(name))))
            yield self._of(name)
        finally:
            run(self._execute(f"DROP DATABASE {name} WITH (FORCE)"))

    def close(self) -> None:
        run(self._execute(f"DROP DATABASE {self._template} WITH (FORCE)"))

    def _name(self) -> str:
        return f"session_router_test_{os.getpid()}_{next(_numbers)}"

    def _of(self, database: str) -> str:
        return self._url.set(database=database).render_as_string(hide_password=False)

    async def _execute(self, statement: str) -> None:
        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def postgres_databases() -> Iterator[PostgresDatabases]:
    """On the server that `SESSION_ROUTER_TEST_DATABASE_URL` names, or on one of our own."""
    with _server_url() as url:
        databases = PostgresDatabases(url)
        try:
            yield databases
        finally:
            databases.close()


@contextmanager
def _server_url() -> Iterator[str]:
    if given := os.environ.get(OVERRIDE):
        yield given
    else:
        with PostgresServer() as server:
            yield server.url()


class SqliteDatabases:
    """Makes SQLite files, as copies of one that has the tables."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        run(upgrade(Target(f"sqlite:///{self._template}")))
        with closing(sqlite3.connect(self._template)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def fresh(self, folder: Path) -> str:
        """The URL of a new file in `folder`."""
        path = folder / "session_router.db"
        shutil.copy(self._template, path)
        return f"sqlite:///{path}"
