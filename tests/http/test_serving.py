"""The service as a process: how it starts, refuses to start, stops, and outlasts its database."""

import asyncio
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from session_router import (
    DatabaseUnavailableError,
    SchemaError,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.database.migrate import Target, upgrade
from session_router.errors import ServeError
from session_router.http import serve
from session_router.http.sockets import listening_sockets, url_of
from session_router.settings import Settings
from tests.http.service import Answer, Service, parse
from tests.support.databases import PostgresDatabases, run
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.waiting import eventually

PROBLEM = "urn:session-router:problem:"


async def fetch(database_url: str, query: str) -> object:
    plain_url = make_url(database_url).set(drivername="postgresql")
    connection = await asyncpg.connect(plain_url.render_as_string(hide_password=False))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def until_unready(service: Service) -> Answer:
    async def unready() -> Answer | None:
        answer = await service.ask("GET", "/readyz")
        return answer if answer.status == 503 else None

    answer = await eventually(unready)
    assert answer is not None
    return answer


async def test_after_sigterm_it_is_unready_serves_on_and_then_leaves_nothing_behind(
    postgres_url: str,
) -> None:
    clock = asyncio.get_running_loop().time
    with Service.running(database_url=postgres_url, drain_sec=1.5) as service:
        assert (await service.ask("GET", "/healthz")).document == {"status": "alive"}
        assert (await service.ask("GET", "/readyz")).document["status"] == "ready"
        await service.ask("PUT", "/sessions/chat/agents/writer/alice")
        assert await fetch(postgres_url, "SELECT count(*) FROM session_router.workers") == 1
        ordered = clock()
        service.order(signal.SIGTERM)
        unready = await until_unready(service)
        assert unready.headers["content-type"] == "application/problem+json"
        assert unready.document["type"] == f"{PROBLEM}shutting-down"
        assert (await service.ask("PUT", "/sessions/late")).status == 200
        assert (await service.ask("GET", "/healthz")).status == 200
        assert await service.exit_code() == 0
        assert clock() - ordered >= 1.5
    assert await fetch(postgres_url, "SELECT count(*) FROM session_router.workers") == 0
    outcome = "SELECT outcome FROM session_router.session_events WHERE event = 'stream_finished'"
    assert await fetch(postgres_url, outcome) == "worker_stopped"


async def test_sigint_stops_it_without_a_drain_period(tmp_path: Path) -> None:
    with Service.running(tmp_path, drain_sec=600) as service:
        assert (await service.ask("PUT", "/sessions/chat")).status == 200
        service.order(signal.SIGINT)
        assert await service.exit_code() == 0
        assert "Traceback" not in service.log
    # The embedded default: a file in the folder, which the service has made by itself.
    assert (tmp_path / "session_router.db").exists()


async def test_a_second_signal_ends_it_at_once() -> None:
    with Service.running(drain_sec=600) as service:
        service.order(signal.SIGTERM)
        await until_unready(service)
        service.order(signal.SIGTERM)
        assert await service.exit_code() == 128 + signal.SIGTERM


async def test_a_request_that_never_ends_does_not_hold_up_the_shutdown() -> None:
    with Service.running(shutdown_timeout_sec=1) as service:
        reader, writer = await asyncio.open_connection(service.host, service.port)
        writer.write(
            b"POST /sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        # By the time that a later request is answered, this one has begun.
        assert (await service.ask("GET", "/healthz")).status == 200
        service.order(signal.SIGINT)
        assert await service.exit_code() == 0
        cut_off = parse(await reader.read())
        writer.close()
        assert (cut_off.status, cut_off.document["type"]) == (503, f"{PROBLEM}shutting-down")
        assert cut_off.headers["content-type"] == "application/problem+json"
        assert "Traceback" not in service.log


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL that a test may stop."""
    with PostgresServer() as server:
        run(upgrade(Target(server.url())))
        yield server


async def test_a_database_that_goes_away_is_a_problem_until_it_comes_back(
    server: PostgresServer,
) -> None:
    with Service.running(database_url=server.url(), drain_sec=0) as service:
        assert (await service.ask("PUT", "/sessions/chat")).status == 200
        server.stop()
        for method, target in (("GET", "/sessions/chat"), ("PUT", "/sessions/other")):
            answer = await service.ask(method, target)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.document["type"] == f"{PROBLEM}database-unavailable"
        unready = await until_unready(service)
        assert unready.document["type"] == f"{PROBLEM}database-unavailable"
        assert (await service.ask("GET", "/healthz")).status == 200
        server.start()

        async def ready() -> bool:
            return (await service.ask("GET", "/readyz")).status == 200

        await eventually(ready)
        assert (await service.ask("GET", "/sessions/chat")).status == 200
        assert (await service.ask("GET", "/sessions/other")).status == 404
        service.order(signal.SIGTERM)
        assert await service.exit_code() == 0
        assert "request_failed" in service.log
        assert PASSWORD not in service.log


async def test_it_refuses_a_database_that_is_behind_and_writes_nothing(
    postgres: PostgresDatabases, tmp_path: Path
) -> None:
    with postgres.fresh(empty=True) as url:
        for database_url in (url, f"sqlite:///{tmp_path}/empty.db"):
            with pytest.raises(SchemaError, match="session-router db upgrade"):
                await serve(Settings(database_url=database_url, http_port=0))
        assert await fetch(url, "SELECT to_regnamespace('session_router')") is None


async def test_it_refuses_a_database_that_differs_and_says_where(postgres_url: str) -> None:
    await fetch(
        postgres_url, "ALTER TABLE session_router.sessions DROP COLUMN last_updated CASCADE"
    )
    with pytest.raises(SchemaError, match=r"(?s)last_updated.*session-router db") as refusal:
        await serve(Settings(database_url=postgres_url, http_port=0))
    assert PASSWORD not in str(refusal.value)


async def test_it_refuses_to_start_without_its_database() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    url = f"postgresql://someone:{PASSWORD}@127.0.0.1:{port}/db"
    with pytest.raises(DatabaseUnavailableError) as refusal:
        await serve(Settings(database_url=url, http_port=0))
    assert PASSWORD not in str(refusal.value)


async def test_a_port_in_use_is_named_with_the_remedy(sqlite_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        said = rf"127\.0\.0\.1 port {port} \(Address already in use\).*SESSION_ROUTER_HTTP_PORT"
        with pytest.raises(ServeError, match=said):
            await serve(Settings(database_url=sqlite_url, http_port=port))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "x" * 64, "203.0.113.1"])
async def test_a_host_that_is_not_here_is_named_with_the_remedy(sqlite_url: str, host: str) -> None:
    with pytest.raises(ServeError, match=rf"{re.escape(host)}.*SESSION_ROUTER_HTTP_HOST"):
        await serve(Settings(database_url=sqlite_url, http_host=host, http_port=0))


async def test_what_runs_besides_has_the_manager_and_ends_before_it(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    began = asyncio.Event()
    ended_with: list[str] = []

    async def fails(_: SessionManager) -> None:
        raise RuntimeError("not today")

    async def works(manager: SessionManager) -> None:
        await manager.start_session("besides")
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            session = await manager.get_session("besides")
            ended_with.append(session.session_id if session else "")

    settings = Settings(database_url=sqlite_url, http_port=0)
    serving = asyncio.create_task(serve(settings, background=[fails, works]))
    await asyncio.wait_for(began.wait(), 20)
    assert not serving.done()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert ended_with == ["besides"]
    assert "background_failed" in caplog.text
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    async with repository.engine.connect() as conn:
        assert (await conn.exec_driver_sql("SELECT count(*) FROM workers")).scalar_one() == 0
    await repository.close()


def test_an_answer_in_two_parts_waits_for_no_acknowledgement_between_them() -> None:
    with (
        listening_sockets("127.0.0.1", 0) as [listener],
        socket.create_connection(listener.getsockname()),
    ):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_every_address_of_a_host_has_the_same_port() -> None:
    with listening_sockets("localhost", 0) as sockets:
        assert len({listener.getsockname()[1] for listener in sockets}) == 1
        for listener in sockets:
            address = urlsplit(url_of(listener))
            with socket.create_connection((str(address.hostname), address.port or 0), 5):
                pass
