"""Fixtures: every repository that there is, on real databases."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from session_router import (
    InMemorySessionRepository,
    SessionRepository,
    SQLAlchemySessionRepository,
)
from tests.cli.program import Program
from tests.support.databases import PostgresDatabases, SqliteDatabases, postgres_databases
from tests.support.recycling import RecycledDatabases


def pytest_configure() -> None:
    """Let Ctrl-C through to what the tests start: a shell's background jobs do not hear it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


LONG: Final = {
    "faults": (
        *("anywhere/", "cli/test_standby.py", "client/test_away.py", "faults/", "processes/"),
    ),
    "upgrades": (
        *("audit/test_downgrade.py", "database/test_concurrently.py"),
        *("database/test_foreign_settings.py", "database/test_migration_lock.py"),
        *("database/test_migrations.py", "database/test_publications.py", "deploy/"),
    ),
    "programs": (
        *("audit/test_commands.py", "cli/", "client/", "database/test_sqlite_files.py"),
        *(
            "client/test_example.py",
            "fastapi/test_chat.py",
            "fastapi/test_example.py",
            "http/test_processes.py",
            "http/test_serving.py",
        ),
        *("runtimes/test_autogen_grpc.py", "telemetry/test_processes.py", "test_examples.py"),
    ),
    "traffic": ("reports/test_traffic.py",),
    "trail": ("audit/", "reports/"),
    "service": ("access/", "console/", "hooks/", "http/", "telemetry/"),
}
"""What takes long, by the target of the Makefile that runs it; `make test` runs all else."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes long."""
    tests = Path(__file__).parent
    for item in items:
        where = item.path.relative_to(tests).as_posix()
        targets = (target for target, places in LONG.items() if where.startswith(places))
        target = "programs" if _is_over_http(item) else next(targets, None)
        if target is not None and not any(item.get_closest_marker(name) for name in LONG):
            item.add_marker(target)


def _is_over_http(item: pytest.Item) -> bool:
    """Whether a test of the contract is carried out by way of a service."""
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("repository") == "http"


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are processors: leases and outages are mostly waited for."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresDatabases]:
    """A PostgreSQL server; one that cannot start fails the run."""
    with postgres_databases() as databases:
        yield databases


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def recycled(postgres: PostgresDatabases) -> RecycledDatabases:
    return RecycledDatabases(postgres)


@pytest.fixture
def postgres_url(recycled: RecycledDatabases) -> Iterator[str]:
    """A PostgreSQL database with the tables, fresh or as good as that."""
    with recycled.fresh() as url:
        yield url


@pytest.fixture
def sqlite_url(sqlite: SqliteDatabases, tmp_path: Path) -> str:
    """A fresh SQLite file with the tables."""
    return sqlite.fresh(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Either database, fresh, with the tables."""
    name = "postgres_url" if request.param == "postgresql" else "sqlite_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(
    request: pytest.FixtureRequest, postgres: PostgresDatabases, tmp_path: Path
) -> Iterator[str]:
    """Either database, without tables; the SQLite file is not there yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/of its own.db"
        return
    with postgres.fresh(empty=True) as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def repository(request: pytest.FixtureRequest) -> AsyncIterator[SessionRepository]:
    """Each of the repositories, empty."""
    async with repository_named(request.param, request) as opened:
        yield opened


@asynccontextmanager
async def repository_named(
    name: str, request: pytest.FixtureRequest
) -> AsyncIterator[SessionRepository]:
    """One of the repositories, empty."""
    if name == "memory":
        yield InMemorySessionRepository()
        return
    url = "postgres_url" if name == "postgresql" else "sqlite_url"
    made = SQLAlchemySessionRepository.from_url(request.getfixturevalue(url))
    yield made
    await made.close()


@pytest.fixture
def program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Program:
    """The program, in a folder of its own."""
    return Program(tmp_path, monkeypatch, capsys)
