"""`AgentStreamResponse`, asked as a server asks it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.types import Message

from session_router import AgentId, InMemorySessionRepository, SessionManager
from session_router.fastapi import AgentStreamResponse
from tests.fastapi.events import Events
from tests.support.trail import story
from tests.support.waiting import eventually

WRITER = AgentId("writer", "a")


class Server:
    """Asks one response; its client may go away, and be slow to read."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.client_goes = asyncio.Event()
        self.fault: OSError | None = None

    async def ask(self, response: AgentStreamResponse) -> None:
        await response({"type": "http"}, self._receive, self._send)

    @asynccontextmanager
    async def asking(self, response: AgentStreamResponse) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.ask(response))
        yield task
        task.cancel()
        await asyncio.wait({task})

    @property
    def events(self) -> Events:
        return Events(b"".join(m["body"] for m in self.sent[1:]).decode())

    @property
    def is_complete(self) -> bool:
        return not self.sent[-1].get("more_body", True)

    async def _receive(self) -> Message:
        await self.client_goes.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.fault is not None:
            raise self.fault
        self.sent.append(message)
        await asyncio.sleep(0)


@pytest.fixture
async def manager() -> AsyncIterator[SessionManager]:
    async with SessionManager(InMemorySessionRepository()) as manager:
        yield manager


@pytest.fixture
def server() -> Server:
    return Server()


async def items(*given: object) -> AsyncIterator[object]:
    for item in given:
        yield item


class Silent:
    """A source that gives nothing, and notes when it is closed."""

    def __init__(self) -> None:
        self.is_closed = False

    async def __call__(self) -> AsyncIterator[str]:
        yield "thinking"
        try:
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


def response_of(manager: SessionManager, source: Any) -> AgentStreamResponse:
    return AgentStreamResponse(manager.stream("chat", WRITER, source))


class Word(BaseModel):
    text: str


@dataclass
class Usage:
    tokens: int


@pytest.mark.parametrize(
    ("item", "data"),
    [
        (" word", " word"),
        ("", None),
        ("two\nlines\r\nthree\rfour\n", "two\nlines\nthree\nfour\n"),
        ("ünï\u2028\x85code", "ünï\u2028\x85code"),
        (Word(text="a\nb"), '{"text":"a\\nb"}'),
        (Usage(tokens=3), '{"tokens":3}'),
        ({"delta": [1, None]}, '{"delta":[1,null]}'),
        (7, "7"),
    ],
)
async def test_a_text_goes_as_it_is_and_anything_else_as_json(
    manager: SessionManager, server: Server, item: object, data: str | None
) -> None:
    await server.ask(response_of(manager, items("first", item)))
    assert server.events.data == ["first", data if data is not None else ""]
    assert server.events.end == ("completed", "completed")


async def test_the_head_forbids_to_hold_the_answer_back(
    manager: SessionManager, server: Server
) -> None:
    response = response_of(manager, items())
    response.headers["X-Own"] = "1"
    response.set_cookie("own", "2")
    await server.ask(response)
    head = dict(server.sent[0]["headers"])
    assert server.sent[0]["status"] == 200
    assert head.pop(b"set-cookie").startswith(b"own=2")
    assert head == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-cache",
        b"x-accel-buffering": b"no",
        b"x-own": b"1",
    }


async def test_the_last_event_tells_an_interrupt(manager: SessionManager, server: Server) -> None:
    async with server.asking(response_of(manager, Silent())) as task:
        await eventually(lambda: server.events.data if server.sent else None)
        await manager.interrupt_streaming_agents("chat")
        await task
    assert server.is_complete
    assert server.events.end == ("stopped", "interrupted")


async def test_what_the_source_raises_is_raised_after_the_answer_and_not_told_in_it(
    manager: SessionManager, server: Server
) -> None:
    async def failing() -> AsyncIterator[str]:
        yield "thinking"
        raise ValueError("the password is sesame")

    with pytest.raises(ValueError, match="sesame"):
        await server.ask(response_of(manager, failing))
    assert server.is_complete
    assert server.events.end == ("failed", "failed")
    assert "sesame" not in str(server.sent)


async def test_a_source_that_was_cancelled_from_within_has_failed(
    manager: SessionManager, server: Server
) -> None:
    async def cancelled() -> AsyncIterator[str]:
        yield "thinking"
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled"):
        await server.ask(response_of(manager, cancelled))
    assert server.is_complete
    assert server.events.end == ("failed", "failed")


async def test_an_item_that_is_no_json_fails_the_answer_and_leaves_the_stream(
    manager: SessionManager, server: Server
) -> None:
    with pytest.raises(ValueError, match="serialize"):
        await server.ask(response_of(manager, items("thinking", object(), "never")))
    assert server.is_complete
    assert server.events.data == ["thinking"]
    assert server.events.end == ("failed", "abandoned")


async def test_a_client_that_goes_leaves_the_stream_while_its_source_is_silent(
    manager: SessionManager, server: Server
) -> None:
    source = Silent()
    async with server.asking(response_of(manager, source)) as task:
        await eventually(lambda: server.events.data if server.sent else None)
        server.client_goes.set()
        await task
    assert source.is_closed
    assert not server.is_complete
    assert "stream_finished abandoned writer/a" in await story(manager.repository)


async def test_a_server_that_can_send_no_more_leaves_the_stream(
    manager: SessionManager, server: Server
) -> None:
    async def flowing() -> AsyncIterator[str]:
        while True:
            yield "word"
            await asyncio.sleep(0)

    async with server.asking(response_of(manager, flowing)) as task:
        await eventually(lambda: server.events.data if server.sent else None)
        server.fault = OSError("connection lost")
        await task
    assert "stream_finished abandoned writer/a" in await story(manager.repository)


async def test_a_cancelled_answer_leaves_the_stream_and_no_task(
    manager: SessionManager, server: Server
) -> None:
    source, before = Silent(), asyncio.all_tasks()
    async with server.asking(response_of(manager, source)) as task:
        await eventually(lambda: server.events.data if server.sent else None)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
    assert source.is_closed
    assert asyncio.all_tasks() == before
    assert "stream_finished abandoned writer/a" in await story(manager.repository)


async def test_a_stream_whose_answer_cannot_begin_is_left(
    manager: SessionManager, server: Server
) -> None:
    server.fault = OSError("connection lost")
    with pytest.raises(OSError, match="lost"):
        await server.ask(response_of(manager, Silent()))
    assert "stream_finished abandoned writer/a" in await story(manager.repository)


async def test_silence_is_filled_with_comments(manager: SessionManager, server: Server) -> None:
    class Impatient(AgentStreamResponse):
        keep_alive_sec = 0.01

    async with server.asking(Impatient(manager.stream("chat", WRITER, Silent()))):
        await eventually(lambda: server.sent and server.events.comments >= 3)
    assert server.events.data == ["thinking"]


async def test_the_background_task_runs_after_the_answer(
    manager: SessionManager, server: Server
) -> None:
    done: list[bool] = []
    stream = manager.stream("chat", WRITER, items("word"))
    background = BackgroundTask(lambda: done.append(server.is_complete))
    await server.ask(AgentStreamResponse(stream, background))
    assert done == [True]
