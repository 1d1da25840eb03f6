"""What an agent of any framework is made of here: a fake model's replies, and two tools.

Each module in `agents/` translates these to what its framework wants, and nothing else: so all
frameworks are asked the same, and whoever streams on after a stop is counted at the model.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

TOKEN_SEC: Final = 0.02
"""The pause between two tokens of a model that flows."""

LONGEST_TOOL_SEC: Final = 4.0
"""A tool in a thread cannot be stopped from outside; it ends by itself after so long."""

LAST_WORDS: Final = "All is well."
"""What the model answers to a turn that nobody stops."""


class Situation(StrEnum):
    """Where an agent is when its stream is left."""

    WAITING_IN_MODEL = "waiting in the model"
    BUSY_CONSUMER = "busy consumer"
    BREAK = "break"
    CANCELLED_CONSUMER = "cancelled consumer"
    ASYNC_TOOL = "async tool"
    SYNC_TOOL = "sync tool"


TOOLS: Final = {Situation.ASYNC_TOOL: "wait_async", Situation.SYNC_TOOL: "wait_sync"}


@dataclass(frozen=True)
class ToolCall:
    """The model wants this tool of `Tools` called, without arguments."""

    name: str


class Model:
    """A fake model, which says what the situation needs, and the last words in the turn after it.

    Attributes:
        token_times: when it gave each token, on the monotonic clock.
        is_waiting: set while it waits for a token that does not come.
    """

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._is_next_turn = False
        self._has_called = False
        self.token_times: list[float] = []
        self.is_waiting = asyncio.Event()

    @property
    def tokens(self) -> int:
        """How many it has given so far, whether anybody took them or not."""
        return len(self.token_times)

    def begin_next_turn(self) -> None:
        """From now on it answers with the last words."""
        self._is_next_turn = True

    async def reply(self) -> AsyncGenerator[str | ToolCall, None]:
        """Answer once; a framework calls this each time that its agent asks the model."""
        if self._is_next_turn:
            yield LAST_WORDS
        elif self._situation in TOOLS and not self._has_called:
            self._has_called = True
            yield ToolCall(TOOLS[self._situation])
        elif self._situation in TOOLS:  # the tool has ended before the stop came
            await asyncio.Event().wait()
        else:
            async for token in self._flow():
                yield token

    async def _flow(self) -> AsyncIterator[str]:
        while True:
            self.token_times.append(time.monotonic())
            yield f"token{self.tokens} "
            await asyncio.sleep(TOKEN_SEC)
            if self._situation is Situation.WAITING_IN_MODEL and self.tokens == 3:
                self.is_waiting.set()
                await asyncio.Event().wait()


class Tools:
    """Two tools that take their time.

    Attributes:
        entered: set when either has begun.
        has_ended: set when the one that ends has ended.
        step_times: when the tool made each step, one each `TOKEN_SEC`, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.has_ended = threading.Event()
        self.step_times: list[float] = []

    async def wait_async(self) -> str:
        """Wait for something that takes long."""
        self.entered.set()
        while True:
            self.step_times.append(time.monotonic())
            await asyncio.sleep(TOKEN_SEC)

    def wait_sync(self) -> str:
        """Wait for something that takes long."""
        self.entered.set()
        for _ in range(int(LONGEST_TOOL_SEC / TOKEN_SEC)):
            self.step_times.append(time.monotonic())
            time.sleep(TOKEN_SEC)
        self.has_ended.set()
        return "It is done."


Iterable = AsyncIterable[Any]
Opened = Iterable | Awaitable[Iterable] | AbstractAsyncContextManager[Iterable]


@dataclass(frozen=True)
class Turn:
    """What `manager.stream()` is given for one turn; its items are text, or the framework's own."""

    source: Iterable | Callable[[], Opened]
    on_stop: Callable[[], Any] | None = None


class Agent(Protocol):
    """What each module of `agents/` has by this name: one agent with one conversation.

    It is made anew for each situation and database, in a running event loop of its own.
    """

    def __init__(self, model: Model, tools: Tools) -> None: ...

    def turn(self, prompt: str) -> Turn:
        """The next turn of the conversation, in the way that docs/frameworks.md shows."""

    async def history(self) -> list[str]:
        """What the framework has kept of the conversation, a line each: `user: ...`."""
