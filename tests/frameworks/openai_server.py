"""A server that answers as OpenAI's chat completions do, token by token, from a fake model."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing, suppress
from typing import Any, Final

from tests.frameworks.fake import Model, ToolCall

_HEAD: Final = "HTTP/1.1 {}\r\nContent-Type: {}\r\nConnection: close\r\n\r\n"


class OpenAIServer:
    """Serves on this machine until its loop ends; made in a running loop.

    It stops asking the model when its client closes the connection.

    Attributes:
        base_url: what the client is given.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        listening = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        self._starting = asyncio.create_task(asyncio.start_server(self._serve, sock=listening))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            asked = await _request(reader)
            answering = asyncio.create_task(self._answer(asked["messages"], writer))
            leaving = asyncio.create_task(reader.read())
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            for task in (answering, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await task

    async def _answer(self, messages: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        if calls := set(_calls_without_result(messages)):
            error = {"error": {"message": f"tool calls without a result: {sorted(calls)}"}}
            writer.write(_HEAD.format("400 Bad Request", "application/json").encode())
            writer.write(json.dumps(error).encode())
            return
        writer.write(_HEAD.format("200 OK", "text/event-stream").encode())
        async with aclosing(_chunks(self._model)) as chunks:
            async for chunk in chunks:
                writer.write(f"data: {chunk}\n\n".encode())
                await writer.drain()


async def _request(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(line for line in head.splitlines() if line.startswith("content-length:"))
    asked: dict[str, Any] = json.loads(await reader.readexactly(int(length.partition(":")[2])))
    return asked


def _calls_without_result(messages: list[dict[str, Any]]) -> Iterator[str]:
    """The real service refuses these, too."""
    results = {message.get("tool_call_id") for message in messages}
    for message in messages:
        for call in message.get("tool_calls") or []:
            if call["id"] not in results:
                yield call["id"]


async def _chunks(model: Model) -> AsyncGenerator[str, None]:
    reason = "stop"
    reply = model.reply()
    async with aclosing(reply):
        async for said in reply:
            if isinstance(said, ToolCall):
                reason = "tool_calls"
                function = {"name": said.name, "arguments": "{}"}
                call = {"index": 0, "id": "call_1", "type": "function", "function": function}
                yield _chunk({"role": "assistant", "tool_calls": [call]})
            else:
                yield _chunk({"role": "assistant", "content": said})
    yield _chunk({}, reason)
    yield "[DONE]"


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "fake",
            "choices": [choice],
        }
    )
