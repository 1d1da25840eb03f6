"""Clients that send slowly, endlessly or too much harm neither the service nor the others."""

import asyncio
import re
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from session_router import InMemorySessionRepository, SessionManager
from session_router.http import create_app
from session_router.http.bounds import Bounds
from session_router.http.serving import serving
from session_router.http.sockets import listening_sockets
from tests.http.conftest import client_of
from tests.http.service import Answer, Service, parse
from tests.http.test_problems import assert_problem

PROBLEM = "urn:session-router:problem:"
HALF_SENT = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Half: "
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_SPACES = b" " * 0x10000
POST = b"POST /sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def connected(host: str, port: int) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def read_answer(reader: StreamReader) -> Answer:
    """The answer that comes first, on a connection that goes on."""
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length
        return parse(head + await reader.readexactly(int(length[1])))


async def read_to_the_end(reader: StreamReader) -> bytes:
    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            return await reader.read()
    return b""


async def test_more_half_sent_headers_than_there_are_files_hold_up_nobody(
    sqlite_url: str,
) -> None:
    async with AsyncExitStack() as stack:
        service = stack.enter_context(Service.running(files=512, database_url=sqlite_url))
        used, use = await stack.enter_async_context(connected(service.host, service.port))
        for number in range(700):
            _, half = await stack.enter_async_context(connected(service.host, service.port))
            half.write(HALF_SENT)
            if not number % 50:
                use.write(WHOLE)
                assert (await read_answer(used)).status == 200
        assert (await service.ask("GET", "/healthz")).status == 200
        assert (await service.ask("PUT", "/sessions/chat")).status == 200
        assert "resource" not in service.log
        assert service.log.count("connections_full") == 1


@asynccontextmanager
async def served(
    app: ASGIApp, *, header_sec: float = 20, connections: int = 100
) -> AsyncIterator[tuple[str, int]]:
    with listening_sockets("127.0.0.1", 0) as sockets:
        address: tuple[str, int] = sockets[0].getsockname()
        options = {"header_sec": header_sec, "connections": connections}
        async with serving(app, sockets, end_within_sec=1, **options):  # type: ignore[arg-type]
            yield address


@pytest.fixture
async def app() -> AsyncIterator[ASGIApp]:
    async with SessionManager(InMemorySessionRepository()) as manager:
        yield create_app(manager)


async def trickle(writer: StreamWriter) -> None:
    with suppress(ConnectionError):
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["first request", "second request"])
async def test_a_header_that_trickles_is_not_waited_for(app: ASGIApp, before: bytes) -> None:
    async with served(app, header_sec=1.0) as address, connected(*address) as (reader, writer):
        if before:
            writer.write(before)
            assert (await read_answer(reader)).status == 200
        writer.write(HALF_SENT)
        trickling = asyncio.create_task(trickle(writer))
        answer = await read_answer(reader)
        await read_to_the_end(reader)  # it is closed
        trickling.cancel()
        assert (answer.status, answer.document["type"]) == (408, f"{PROBLEM}too-slow")
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(app: ASGIApp) -> None:
    async with served(app, header_sec=0.1) as address, connected(*address) as (reader, _):
        assert await read_to_the_end(reader) == b""


async def test_a_request_that_takes_long_is_not_cut_off_by_the_headers_deadline() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.3)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with served(slow, header_sec=0.05) as address, connected(*address) as (reader, writer):
        writer.write(LAST)
        assert parse(await read_to_the_end(reader)).status == 204


async def test_of_too_many_connections_the_one_that_was_silent_longest_goes(app: ASGIApp) -> None:
    async with served(app, connections=3) as address, AsyncExitStack() as stack:
        opened = []
        for _ in range(4):
            opened.append(await stack.enter_async_context(connected(*address)))
            opened[-1][1].write(HALF_SENT)
            if len(opened) == 2:  # one that is used is younger than one that is silent
                opened[1][1].write(b"\r\n\r\n")
                assert (await read_answer(opened[1][0])).status == 200
        await read_to_the_end(opened[0][0])
        for reader, writer in opened[1:]:
            writer.write(LAST if reader is opened[1][0] else b"\r\nConnection: close\r\n\r\n")
            assert parse(await read_to_the_end(reader)).status == 200


async def test_where_all_connections_are_being_served_a_new_one_is_told_so() -> None:
    begun, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        begun.release()
        await may_end.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with served(waits, connections=2) as address, AsyncExitStack() as stack:
        busy = [await stack.enter_async_context(connected(*address)) for _ in range(2)]
        for _, writer in busy:
            writer.write(LAST)
            await begun.acquire()
        refused, _ = await stack.enter_async_context(connected(*address))
        answer = parse(await read_to_the_end(refused))
        assert answer.document["type"] == f"{PROBLEM}too-many-connections"
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        may_end.set()
        for reader, _ in busy:
            assert parse(await read_to_the_end(reader)).status == 204
        again, writer = await stack.enter_async_context(connected(*address))
        writer.write(LAST)
        assert parse(await read_to_the_end(again)).status == 204


async def test_a_body_that_does_not_arrive_in_time_is_refused_and_nothing_is_done() -> None:
    async def hangs() -> AsyncIterator[bytes]:
        yield b'{"session_id": '
        await asyncio.Event().wait()

    async with SessionManager(InMemorySessionRepository()) as manager:
        async with client_of(Bounds(create_app(manager), body_sec=0.1)) as client:
            json = {"content-type": "application/json"}
            refused = await client.post("/sessions", content=hangs(), headers=json)
        assert_problem(refused, 408, "too-slow")
        assert await manager.repository.list_sessions() == []


def most_memory(service: Service) -> int:
    """The most that the service's process has had in memory, in KiB."""
    told = Path(f"/proc/{service.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", told)[0])


async def send_endlessly(writer: StreamWriter, piece: bytes) -> None:
    with suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
async def test_a_body_of_any_length_is_refused_and_takes_no_memory(sqlite_url: str) -> None:
    declared = POST + b"Content-Length: 300000000\r\n\r\n"
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    with Service.running(database_url=sqlite_url) as service:
        assert (await service.ask("POST", "/sessions")).status == 201
        before = most_memory(service)
        for head, piece in ((declared, _SPACES), (chunked, b"10000\r\n" + _SPACES + b"\r\n")):
            async with connected(service.host, service.port) as (reader, writer):
                writer.write(head)
                sending = asyncio.create_task(send_endlessly(writer, piece))
                answer = await read_answer(reader)
                assert (await service.ask("GET", "/healthz")).status == 200
                sending.cancel()
                assert (answer.status, answer.document["type"]) == (413, f"{PROBLEM}body-too-large")
        assert most_memory(service) - before < 30_000
        assert "Traceback" not in service.log


@pytest.mark.parametrize("path", ["/sessions/chat", "/healthz", "/nowhere"])
async def test_a_body_that_nobody_asked_for_is_refused_as_well(
    memory: httpx.AsyncClient, path: str
) -> None:
    answer = await memory.request("PUT", path, content=b"x" * 1_000_001)
    assert_problem(answer, 413, "body-too-large")


async def test_the_largest_body_is_read(memory: httpx.AsyncClient) -> None:
    body = b'{"session_id": "chat"}'.ljust(1_000_000)
    sent = {"content-type": "application/json"}
    assert (await memory.post("/sessions", content=body, headers=sent)).status_code == 201


@pytest.mark.parametrize(
    "fields",
    [
        b"X-Long: " + b"x" * 70_000,
        b"X-Many: x\r\n" * 120 + b"X-Last: x",
        b"X: x\r\n" * 10_000 + b"X-Last: x",
    ],
    ids=["too long", "too many", "ten thousand"],
)
@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_header_that_is_too_large_is_refused(
    app: ASGIApp, fields: bytes, pieces: int
) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n\r\n"
    async with served(app) as address, connected(*address) as (reader, writer):
        cut = len(request) - 2 if pieces == 2 else len(request)
        writer.write(request[:cut])
        await writer.drain()
        writer.write(request[cut:])
        answer = await read_answer(reader)
        assert (answer.status, answer.document["type"]) == (431, f"{PROBLEM}header-too-large")


async def test_the_longest_values_fit_into_a_header(app: ASGIApp) -> None:
    longest = "%F0%9F%91%8D"
    path = f"/sessions/{longest * 255}?actor={longest * 2_000}&reason={longest * 2_000}"
    async with served(app) as address, connected(*address) as (reader, writer):
        writer.write(f"DELETE {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert (await read_answer(reader)).document["type"] == f"{PROBLEM}session-not-found"
