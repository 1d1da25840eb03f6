"""A server that stops, refuses or can only be read: told of once, and over as soon as it is."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade
from session_router.hooks import Hooks
from session_router.telemetry.metrics import Metrics
from session_router.worker.supervisor import LONGEST_BLIND_SEC
from tests.support.databases import run
from tests.support.postgres import PostgresServer
from tests.support.sources import Source, hang
from tests.support.standby import fence
from tests.support.waiting import eventually

TRIES = 7
"""Doubled so often, an unbounded pause would be longer than half a minute."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        run(upgrade(Target(server.url())))
        yield server


@asynccontextmanager
async def everything_on(url: str) -> AsyncIterator[SessionManager]:
    """All loops of a process that asks this database, some of them twice; they all run."""
    async with AsyncExitStack() as stack:
        managers = []
        for _ in range(2):
            repository = SQLAlchemySessionRepository.from_url(url)
            stack.push_async_callback(repository.close)
            manager = SessionManager(repository, cleanup_interval_sec=0.2)
            managers.append(await stack.enter_async_context(manager))
            await stack.enter_async_context(Metrics(manager))
            await stack.enter_async_context(Hooks(repository.engine))
        for manager in managers:
            await eventually(lambda m=manager: m.wake_ups.mode == "listening", within=60)  # type: ignore[misc]
        yield managers[0]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is told from a warning on."""
    return [r.getMessage().split()[0] for r in caplog.records if r.levelno >= logging.WARNING]


def failures_of(caplog: pytest.LogCaptureFixture, job: str) -> list[float]:
    """The pauses after the tries of a job that failed."""
    fields = (getattr(record, "session_router", {}) for record in caplog.records)
    failed = (each for each in fields if each.get("message") == "job_failed")
    return [each["retry_in_sec"] for each in failed if each["job"] == job]


async def is_over(caplog: pytest.LogCaptureFixture, manager: SessionManager) -> None:
    await eventually(lambda: "outage_ended" in told(caplog), within=60)
    await eventually(lambda: manager.wake_ups.mode == "listening", within=60)


async def test_a_server_that_stops_is_told_of_once_and_listened_to_when_it_is_back(
    server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with everything_on(server.url()) as manager:
        stream = manager.stream("chat", AgentId("writer", "ann"), Source("word", then=hang))
        assert await anext(stream) == "word"
        with caplog.at_level(logging.DEBUG, "session_router"):
            server.stop("fast")
            await eventually(lambda: len(failures_of(caplog, "listen")) >= TRIES, within=120)
            assert told(caplog) == ["outage_began"]
            server.start()
            await is_over(caplog, manager)
            assert told(caplog) == ["outage_began", "outage_ended"]
            assert max(failures_of(caplog, "listen")) <= LONGEST_BLIND_SEC
            assert max(failures_of(caplog, "dispatch")) <= LONGEST_BLIND_SEC
        await stream.aclose()


def refuse(server: PostgresServer) -> None:
    """It takes no connection any more, and those that it has are gone."""
    server.execute(
        "ALTER DATABASE served WITH ALLOW_CONNECTIONS false",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'served'",
    )


def accept(server: PostgresServer) -> None:
    server.execute("ALTER DATABASE served WITH ALLOW_CONNECTIONS true")


def promote(server: PostgresServer) -> None:
    server.execute("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


@pytest.mark.parametrize(("begin", "end"), [(refuse, accept), (fence, promote)])
async def test_a_server_that_refuses_or_can_only_be_read_is_told_of_once(
    server: PostgresServer,
    caplog: pytest.LogCaptureFixture,
    begin: Callable[[PostgresServer], None],
    end: Callable[[PostgresServer], None],
) -> None:
    server.drop_database("served")
    url = server.create_database("served", template="postgres")
    async with everything_on(url) as manager:
        with caplog.at_level(logging.DEBUG, "session_router"):
            await asyncio.to_thread(begin, server)
            await eventually(lambda: len(failures_of(caplog, "sweep")) >= TRIES, within=300)
            assert told(caplog) == ["outage_began"]
            await asyncio.to_thread(end, server)
            await is_over(caplog, manager)
            assert told(caplog) == ["outage_began", "outage_ended"]
