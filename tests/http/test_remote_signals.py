"""How remote workers hear of their signals: each once a connection, by whichever way it came."""

import asyncio
import re
import signal as signals
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import make_url

from session_router import (
    AgentId,
    InMemorySessionRepository,
    SessionManager,
    SessionRepository,
    SQLAlchemySessionRepository,
)
from session_router.database.migrate import Target, upgrade
from session_router.http import create_app, event_stream
from session_router.repository.changes import Register
from session_router.repository.records import Requester
from session_router.settings import Tuning
from tests.http.remote import NOT_FOR_EVER, Events, enter, register, served
from tests.http.service import Service
from tests.support.databases import run
from tests.support.postgres import PostgresServer
from tests.support.waiting import eventually

NEVER_SEC = 3_600.0
POLLS_NEVER = Tuning(poll_interval_sec=NEVER_SEC, listening_poll_interval_sec=NEVER_SEC)
POLLS_OFTEN = Tuning(poll_interval_sec=0.05, lease_sec=NEVER_SEC)
"""The workers of these tests give no heartbeats."""


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=NOT_FOR_EVER) as client:
        yield client


@asynccontextmanager
async def service(
    repository: SessionRepository, tuning: Tuning | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        SessionManager(repository, tuning=tuning) as manager,
        served(create_app(manager)) as url,
        asking(url) as client,
    ):
        yield client


@pytest.fixture
async def client(repository: SessionRepository) -> AsyncIterator[httpx.AsyncClient]:
    async with service(repository, Tuning(lease_sec=NEVER_SEC)) as client:
        yield client


async def signalled(repository: SessionRepository, worker_id: str, count: int) -> list[str]:
    """Signals to the worker, of one interrupt, in no order."""
    worker, session_id = UUID(worker_id), str(uuid4())
    agents = [AgentId("writer", f"{number:04}" + "x" * 200) for number in range(count)]
    for first in range(0, count, 100):
        asked = [
            Register(session_id, agent_id, worker, uuid4(), renew=True)
            for agent_id in agents[first : first + 100]
        ]
        await asyncio.gather(*(repository.register_stream(each) for each in asked))
    request = await repository.interrupt_streams(session_id, None, Requester())
    assert request is not None
    return [str(signal.signal_id) for signal in request.signals]


async def settle(client: httpx.AsyncClient, worker_id: str, *signal_ids: str) -> int:
    items = [{"signal_id": i, "outcome": "delivered"} for i in signal_ids]
    answer = await client.post(f"/workers/{worker_id}/settlements", json={"items": items})
    assert answer.status_code == 200, answer.text
    settled: int = answer.json()["settled"]
    return settled


async def test_an_interrupt_is_told_with_all_that_is_needed_to_carry_it_out(
    client: httpx.AsyncClient,
) -> None:
    worker_id = await enter(client)
    stream_id = await register(client, worker_id)
    async with Events.of(client, worker_id) as told:
        assert told.response.headers["content-type"].startswith("text/event-stream")
        assert told.response.headers["cache-control"] == "no-store"
        asked = await client.post("/sessions/chat/interrupt", json={"actor": "bob"})
        event = await told.next()
    assert event is not None
    assert (event.name, event.id) == ("signal", event.data["signal_id"])
    assert event.data == {
        "signal_id": event.id,
        "request_id": asked.headers["location"].rpartition("/")[2],
        "session_id": "chat",
        "agent_id": "writer/a",
        "stream_id": stream_id,
        "action": "cancel",
        "requested_at": event.data["requested_at"],
    }
    assert re.fullmatch(r"[0-9-]{10}T[0-9:.]{8,15}Z", event.data["requested_at"])


async def test_the_end_of_a_session_orders_its_agents_removed(client: httpx.AsyncClient) -> None:
    worker_id = await enter(client)
    await register(client, worker_id)
    async with Events.of(client, worker_id) as told:
        await client.delete("/sessions/chat")
        event = await told.next()
    assert event is not None
    assert event.data["action"] == "cancel_and_remove"


async def test_whoever_waits_for_the_receipt_gets_what_the_worker_says(
    client: httpx.AsyncClient,
) -> None:
    worker_id = await enter(client)
    await register(client, worker_id)
    async with Events.of(client, worker_id) as told:
        asking = asyncio.create_task(client.post("/sessions/chat/interrupt", json={"wait": 20}))
        [signal_id] = await told.ids(1)
        assert await settle(client, worker_id, signal_id) == 1
        answer = await asking
    assert (answer.status_code, answer.json()["outcomes"]) == (200, {"writer/a": "delivered"})


async def test_a_connection_tells_first_what_is_unsettled_the_oldest_first_and_each_once(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    worker_id = await enter(client)
    first = await signalled(repository, worker_id, 1)
    second = await signalled(repository, worker_id, 2)
    async with Events.of(client, worker_id) as told:
        got = await told.ids(3)
        assert (got[:1], sorted(got[1:])) == (first, sorted(second))
        third = await signalled(repository, worker_id, 1)
        assert await told.ids(1) == third
    assert await settle(client, worker_id, *second) == 2
    # The next connection is told anew what is unsettled.
    async with Events.of(client, worker_id) as told, Events.of(client, worker_id) as beside:
        assert await told.ids(2) == first + third
        assert await beside.ids(2) == first + third


async def test_a_worker_is_told_nothing_of_others(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    ours, others = await enter(client), await enter(client)
    async with Events.of(client, ours) as told, Events.of(client, others) as foreign:
        theirs = await signalled(repository, others, 1)
        assert await foreign.ids(1) == theirs
        own = await signalled(repository, ours, 1)
        assert await told.ids(1) == own


async def test_more_than_a_connection_holds_are_told_all_the_same(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    worker_id = await enter(client)
    made = await signalled(repository, worker_id, 120)
    async with Events.of(client, worker_id) as told:
        assert sorted(await told.ids(120)) == sorted(made)


async def test_with_a_thousand_unsettled_further_ones_are_told_when_some_are_settled() -> None:
    repository = InMemorySessionRepository()
    async with service(repository, POLLS_OFTEN) as client:
        worker_id = await enter(client)
        made = await signalled(repository, worker_id, 1_100)
        async with Events.of(client, worker_id) as told:
            got = await told.ids(1_000)
            assert await settle(client, worker_id, *got[:500]) == 500
            got += await told.ids(100)
    assert sorted(got) == sorted(made)


async def test_who_is_connected_is_told_that_it_is_gone(
    repository: SessionRepository,
) -> None:
    async with service(repository, POLLS_OFTEN) as client:
        worker_id = await enter(client)
        async with Events.of(client, worker_id) as told:
            assert (await client.delete(f"/workers/{worker_id}")).status_code == 204
            gone = await told.next()
            assert gone is not None
            assert (gone.name, gone.id, gone.data) == ("gone", None, {})
            assert await told.next() is None


async def test_a_reaping_shows_at_the_next_look() -> None:
    repository = InMemorySessionRepository()
    async with service(repository, POLLS_OFTEN) as client:
        worker_id = await enter(client)
        async with Events.of(client, worker_id) as told:
            beats = await repository.heartbeats()
            await repository.reap_workers({UUID(worker_id): beats[UUID(worker_id)]})
            gone = await told.next()
    assert gone is not None
    assert gone.name == "gone"


async def test_comments_show_that_the_connection_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "COMMENT_SEC", 0.05)
    repository = InMemorySessionRepository()
    async with service(repository) as client:
        worker_id = await enter(client)
        async with client.stream("GET", f"/workers/{worker_id}/signals") as response:
            lines = response.aiter_lines()
            got = [await anext(lines) for _ in range(8)]
    assert set(got) == {":", ""}


async def test_a_change_made_in_the_same_process_is_told_without_a_poll(
    sqlite_url: str,
) -> None:
    for repository in (
        InMemorySessionRepository(),
        SQLAlchemySessionRepository.from_url(sqlite_url),
    ):
        async with service(repository, POLLS_NEVER) as client:
            worker_id = await enter(client)
            async with Events.of(client, worker_id) as told:
                # Both ends of a registration: what it supersedes, and what it interrupts.
                await register(client, worker_id)
                await register(client, worker_id)
                await told.ids(1)
                await client.post("/sessions/chat/interrupt")
                await told.ids(1)
        await repository.close()


async def test_a_change_made_elsewhere_is_found_by_a_poll_where_nobody_listens(
    sqlite_url: str,
) -> None:
    ours = SQLAlchemySessionRepository.from_url(sqlite_url)
    theirs = SQLAlchemySessionRepository.from_url(sqlite_url)
    async with service(ours, POLLS_OFTEN) as client:
        worker_id = await enter(client)
        async with Events.of(client, worker_id) as told:
            expected = await signalled(theirs, worker_id, 1)
            assert await told.ids(1) == expected
    await ours.close()
    await theirs.close()


def serving_without_polls(url: str) -> AbstractContextManager[Service]:
    return Service.running(
        database_url=url, poll_interval_sec=NEVER_SEC, listening_poll_interval_sec=NEVER_SEC
    )


async def listen(url: str, connections: int) -> bool:
    """Whether so many connections listen."""
    return await listening(url) == connections


async def listening(url: str) -> int:
    """How many connections listen."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    conn = await asyncpg.connect(plain)
    try:
        found: int = await conn.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'session_router % listen'"
        )
        return found
    finally:
        await conn.close()


@pytest.mark.programs
async def test_an_interrupt_through_another_process_is_told_by_one_listening_connection(
    postgres_url: str,
) -> None:
    with serving_without_polls(postgres_url) as ours, serving_without_polls(postgres_url) as theirs:
        async with (
            asking(f"http://127.0.0.1:{ours.port}") as client,
            asking(f"http://127.0.0.1:{theirs.port}") as elsewhere,
        ):
            own = await eventually(lambda: listening(postgres_url))
            workers = [await enter(client) for _ in range(5)]
            for number, worker_id in enumerate(workers):
                await register(client, worker_id, f"writer/{number}")
            events = [Events.of(client, worker_id) for worker_id in workers]
            told = [await each.__aenter__() for each in events]
            await eventually(lambda: listen(postgres_url, own + 1))
            for number, one in enumerate(told):
                body = {"agents": [f"writer/{number}"]}
                assert (await elsewhere.post("/sessions/chat/interrupt", json=body)).is_success
                event = await one.next()
                assert event is not None
                assert event.data["agent_id"] == f"writer/{number}"
            # A worker that comes later is listened for on the same connection.
            late = await enter(client)
            async with Events.of(client, late) as one:
                await register(client, late)
                assert (await elsewhere.delete("/sessions/chat")).status_code == 204
                await one.ids(1)
                assert await listening(postgres_url) == own + 1
            for each in events:
                await each.__aexit__(None, None, None)
            # With the last one goes what it took.
            await eventually(lambda: listen(postgres_url, own))


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL that a test may stop."""
    with PostgresServer() as server:
        run(upgrade(Target(server.url())))
        yield server


@pytest.mark.faults
async def test_a_connection_outlasts_an_outage_of_the_database(server: PostgresServer) -> None:
    repository = SQLAlchemySessionRepository.from_url(server.url())
    async with service(repository) as client:
        worker_id = await enter(client)
        async with Events.of(client, worker_id) as told:
            expected = await signalled(repository, worker_id, 1)
            assert await told.ids(1) == expected
            server.stop()
            answer = await client.post(f"/workers/{worker_id}/heartbeat")
            assert answer.status_code in (503, 504)
            server.start()

            async def beats() -> bool:
                return (await client.post(f"/workers/{worker_id}/heartbeat")).is_success

            await eventually(beats)
            made = await signalled(repository, worker_id, 1)
            assert await told.ids(1) == made
    await repository.close()


async def test_who_never_reads_holds_up_nobody_and_is_told_all_when_it_reads_at_last() -> None:
    repository = InMemorySessionRepository()
    async with service(repository, Tuning(lease_sec=NEVER_SEC)) as client:
        slow, other = await enter(client), await enter(client)
        url = httpx.URL(str(client.base_url))
        loop, received = asyncio.get_running_loop(), b""
        # Of a client that takes in hardly anything until it reads.
        with closing(socket.socket()) as reluctant:
            reluctant.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            reluctant.setblocking(False)
            await loop.sock_connect(reluctant, (url.host, url.port))
            request = f"GET /workers/{slow}/signals HTTP/1.1\r\nHost: localhost\r\n\r\n"
            await loop.sock_sendall(reluctant, request.encode())
            made = set(await signalled(repository, slow, 1_000))
            async with Events.of(client, other) as told:
                expected = await signalled(repository, other, 1)
                assert await told.ids(1) == expected
            assert len(await repository.unsettled_signals(UUID(slow))) == 1_000
            async with asyncio.timeout(60):
                while received.count(b"event: signal") < 1_000:
                    received += await loop.sock_recv(reluctant, 65_536)
        got = re.findall(rb"^id: (.+?)\r?$", received, re.MULTILINE)
        assert (len(got), {i.decode() for i in got}) == (1_000, made)


@pytest.mark.programs
@pytest.mark.parametrize("order", [signals.SIGTERM, signals.SIGINT])
async def test_a_service_that_shuts_down_ends_its_connections_plainly(
    order: signals.Signals,
) -> None:
    with Service.running(drain_sec=0.1) as service:
        async with asking(f"http://127.0.0.1:{service.port}") as client:
            worker_id = await enter(client)
            async with Events.of(client, worker_id) as told:
                service.order(order)
                assert await told.next() is None
        assert await service.exit_code() == 0
        assert "Traceback" not in service.log
        assert "shutdown_incomplete" not in service.log
