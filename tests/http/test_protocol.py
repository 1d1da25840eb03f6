"""What is HTTP/1.1 and what is not, read as one request after the other by everybody alike."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from session_router import InMemorySessionRepository, SessionManager
from session_router.http import create_app
from tests.http.test_limits import connected, read_answer, read_to_the_end, served

PROBLEM = "urn:session-router:problem:"
HOST = b"Host: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


async def tells(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was asked."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    told = {
        "asked": f"{scope['method']} {scope['path']}",
        "raw_path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "body": body.decode(),
        "fields": [[name.decode(), value.decode()] for name, value in scope["headers"]],
    }
    content = json.dumps(told).encode()
    fields = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": content})


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def answers_to(sent: bytes, number: int, app: ASGIApp = tells) -> list[Any]:
    """So many answers, and then whether the connection is closed by the server."""
    async with served(app) as address, connected(*address) as (reader, writer):
        writer.write(sent)
        documents = [(await read_answer(reader)).document for _ in range(number)]
        writer.write_eof()
        assert await read_to_the_end(reader) == b""
        return documents


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b" folded: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-Nul: a\0b\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n3x\r\nabc\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda sent: ascii(sent)[-40:],
)
async def test_what_others_might_read_differently_is_refused(sent: bytes) -> None:
    async with served(tells) as address, connected(*address) as (reader, writer):
        writer.write(sent)
        answer = await read_answer(reader)
        assert (answer.status, answer.document["type"]) == (400, f"{PROBLEM}malformed-request")
        assert answer.headers["connection"] == "close"
        assert await read_to_the_end(reader) == b""


async def test_a_target_and_the_header_arrive_as_they_were_sent() -> None:
    sent = (
        b"GET //a%2Fb/../%C3%BC?x=%20? HTTP/1.1\r\nHOST: localhost \r\nX-Empty:\r\nX: \xfc \r\n\r\n"
    )
    [told] = await answers_to(sent.replace(b"\xfc", b"u"), 1)
    assert told["asked"] == "GET //a/b/../ü"
    assert (told["raw_path"], told["query"]) == ("//a%2Fb/../%C3%BC", "x=%20?")
    assert told["fields"] == [["host", "localhost"], ["x-empty", ""], ["x", "u"]]


@pytest.mark.parametrize("number", [3, 300])
async def test_requests_that_are_sent_at_once_are_answered_in_order(number: int) -> None:
    bodies = [b"x" * (n % 7) for n in range(number)]
    sent = b"".join(
        b"POST /%d HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (n, HOST, len(body), body)
        for n, body in enumerate(bodies)
    )
    told = await answers_to(sent, number)
    assert [each["asked"] for each in told] == [f"POST /{n}" for n in range(number)]
    assert [each["body"].encode() for each in told] == bodies


async def test_many_requests_at_once_are_not_all_read_ahead() -> None:
    begun, may_answer = 0, asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        await may_answer.wait()
        await tells(scope, receive, send)

    async with served(waits) as address, connected(*address) as (reader, writer):
        # More than the kernel and the service keep: the client is made to wait.
        sending = asyncio.create_task(_send(writer, get("/") * 1_000_000))
        finished, _ = await asyncio.wait({sending}, timeout=0.5)
        assert not finished
        assert begun == 1
        may_answer.set()
        for _ in range(1_000):
            assert (await read_answer(reader)).status == 200
        sending.cancel()
        writer.transport.abort()  # closing would wait for all that was written


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def test_what_comes_before_nonsense_is_answered_first() -> None:
    async with served(tells) as address, connected(*address) as (reader, writer):
        writer.write(get("/1") + get("/2") + b"nonsense\r\n\r\n" + get("/3"))
        for path in ("/1", "/2"):
            assert (await read_answer(reader)).document["asked"] == f"GET {path}"
        assert (await read_answer(reader)).status == 400
        assert await read_to_the_end(reader) == b""


async def test_fields_behind_a_body_are_no_part_of_the_header() -> None:
    sent = b"POST / HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n3\r\nabc\r\n0\r\nHost: evil\r\n\r\n"
    told = await answers_to(sent + get("/next"), 2)
    assert (told[0]["body"], told[1]["asked"]) == ("abc", "GET /next")
    assert ["host", "evil"] not in told[0]["fields"] + told[1]["fields"]


@pytest.mark.parametrize("sent", [b"0\r\nX-Long: ", b"0;x=", b"0\r\n" + b"x: y\r\n" * 10])
async def test_what_stands_around_a_body_has_a_limit_too(sent: bytes) -> None:
    async with served(tells) as address, connected(*address) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n3\r\nabc\r\n" + sent)
        writer.write(b"x" * 70_000)
        assert (await read_answer(reader)).document["type"] == f"{PROBLEM}header-too-large"


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
async def test_nothing_is_upgraded_and_the_next_request_is_read(protocol: bytes) -> None:
    fields = b"Connection: Upgrade\r\nUpgrade: %s\r\n" % protocol
    hidden = get("/hidden")
    sized = b"Content-Length: %d\r\n\r\n%b" % (len(hidden), hidden)
    chunked = CHUNKED + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden)
    sent = b"GET /1 HTTP/1.1\r\n" + HOST + fields + b"\r\n"
    sent += b"POST /2 HTTP/1.1\r\n" + HOST + fields + sized
    sent += b"POST /3 HTTP/1.1\r\n" + HOST + fields + chunked
    told = await answers_to(sent + get("/4"), 4)
    assert [each["asked"] for each in told] == ["GET /1", "POST /2", "POST /3", "GET /4"]
    assert [each["body"].encode() for each in told] == [b"", hidden, hidden, b""]


@pytest.mark.parametrize(
    "first",
    [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"],
)
async def test_a_last_request_is_the_last(first: bytes) -> None:
    async with served(tells) as address, connected(*address) as (reader, writer):
        writer.write(first + get("/never"))
        assert (await read_answer(reader)).headers["connection"] == "close"
        assert await read_to_the_end(reader) == b""


async def test_a_client_that_asks_whether_to_send_its_body_is_told_to() -> None:
    async with served(tells) as address, connected(*address) as (reader, writer):
        writer.write(
            b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        async with asyncio.timeout(20):
            assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"abc")
        assert (await read_answer(reader)).document["body"] == "abc"


async def test_an_answer_in_pieces_is_sent_as_they_come() -> None:
    may_go_on = asyncio.Event()

    async def in_pieces(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await may_go_on.wait()
        may_go_on.clear()
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await may_go_on.wait()
        await send({"type": "http.response.body", "body": b"two" * 100_000})

    async with served(in_pieces) as address, connected(*address) as (reader, writer):
        writer.write(get("/"))
        async with asyncio.timeout(20):
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            may_go_on.set()
            assert await reader.readexactly(8) == b"3\r\none\r\n"
            may_go_on.set()
            head = await reader.readuntil(b"\r\n")
            assert await reader.readexactly(int(head, 16)) == b"two" * 100_000


@pytest.fixture
async def app() -> AsyncIterator[ASGIApp]:
    async with SessionManager(InMemorySessionRepository()) as manager:
        yield create_app(manager)


@pytest.mark.parametrize(
    "target", [b"http://localhost/sessions/chat", b"*", b"localhost:80", b"/sessions/%zz"]
)
async def test_other_forms_of_a_target_are_problems(app: ASGIApp, target: bytes) -> None:
    method = b"CONNECT" if target == b"localhost:80" else b"PUT"
    async with served(app) as address, connected(*address) as (reader, writer):
        writer.write(method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        answer = await read_answer(reader)
        assert answer.status in (400, 404, 405)
        assert answer.document["type"].startswith(PROBLEM)
