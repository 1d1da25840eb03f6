"""An agent's stream as an answer over HTTP: server-sent events."""

import asyncio
import re
from typing import Any, ClassVar, Final

from pydantic_core import to_json
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from session_router.errors import WorkerGoneError
from session_router.events import StreamOutcome
from session_router.fastapi.lifespan import is_draining
from session_router.worker.stream import AgentStream

_LAST_EVENTS: Final = {
    StreamOutcome.COMPLETED: "completed",
    StreamOutcome.INTERRUPTED: "stopped",
}
_LINE_END: Final = re.compile("\r\n|\r|\n")


class AgentStreamResponse(Response):
    """Answers with the items of a stream, as server-sent events, while they come.

    The stream is registered before anything is sent, so that an error still gets its status: see
    `PROBLEM_HANDLERS`. A text goes as it is, anything else as JSON. The last event is named by
    the end: `completed`, `stopped` (from whichever process, or as this one shuts down) or
    `failed`. Its data are `{"stream_id": ..., "outcome": ...}`. What the source raises goes on to
    the server's log when the answer is complete. When the client goes away, the stream is left at
    once, also while its source is silent.

    Args:
        stream: what `SessionManager.stream()` returned.
        background: what to run after the answer.

    Attributes:
        keep_alive_sec: after so many seconds of silence a comment is sent, since proxies cut
            off what is silent for longer, some after 30 s.
    """

    media_type = "text/event-stream"
    keep_alive_sec: ClassVar[float] = 15

    def __init__(self, stream: AgentStream[Any], background: BackgroundTask | None = None) -> None:
        self.status_code = 200
        self.background = background
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer.

        Raises:
            SessionRouterError: the stream could not be registered; nothing was sent.
        """
        if is_draining(scope):
            raise WorkerGoneError("this process shuts down and begins no more answers; ask again.")
        await self._stream.start()
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(head)
            failure = await _Answer(self._stream, receive, send, self.keep_alive_sec).give()
        except BaseException:  # cancelled, as a rule: nobody else would leave the stream at once
            await self._stream.aclose()
            raise
        if failure is not None:
            raise failure
        if self.background is not None:
            await self.background()


class _Answer:
    """The body of one answer."""

    def __init__(
        self, stream: AgentStream[Any], receive: Receive, send: Send, keep_alive_sec: float
    ) -> None:
        self._stream = stream
        self._receive = receive
        self._send = send
        self._keep_alive_sec = keep_alive_sec
        self._sending = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._has_reader = True

    async def give(self) -> Exception | None:
        """Send the items and how it ended; returns what failed."""
        async with asyncio.TaskGroup() as beside:
            helpers = [
                beside.create_task(self._leave_with_client()),
                beside.create_task(self._keep_alive()),
            ]
            failure = await self._give_items()
            await self._give_end()
            for helper in helpers:
                helper.cancel()
        return failure

    async def _give_items(self) -> Exception | None:
        try:
            async for item in self._stream:
                await self._say(_event(item))
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            failure = RuntimeError("the source was cancelled, though nobody has left its stream")
            failure.__cause__ = error
            return failure
        except Exception as failure:
            await self._stream.aclose()  # it goes on where the item was at fault
            return failure
        return None

    async def _give_end(self) -> None:
        outcome = self._stream.outcome
        assert outcome is not None
        told = {"stream_id": str(self._stream.stream_id), "outcome": outcome}
        named = f"event: {_LAST_EVENTS.get(outcome, 'failed')}\n".encode()
        await self._say(named + _event(told), is_last=True)

    async def _leave_with_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        await self._leave()

    async def _keep_alive(self) -> None:
        while True:
            due = self._sent_at + self._keep_alive_sec
            if due <= self._loop.time():
                await self._say(b": keep-alive\n\n")
            else:
                await asyncio.sleep(due - self._loop.time())

    async def _say(self, text: bytes, *, is_last: bool = False) -> None:
        """Send, one after the other; servers that follow newer ASGI raise when nobody reads."""
        async with self._sending:
            if not self._has_reader:
                return
            self._sent_at = self._loop.time()
            try:
                await self._send(
                    {"type": "http.response.body", "body": text, "more_body": not is_last}
                )
            except OSError:
                await self._leave()

    async def _leave(self) -> None:
        self._has_reader = False
        await self._stream.aclose()


def _event(item: object) -> bytes:
    text = item if isinstance(item, str) else to_json(item).decode()
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(text))
    return f"{lines}\n".encode()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
