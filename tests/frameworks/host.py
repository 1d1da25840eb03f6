"""The process that an agent runs in, with the packages of its framework and no others.

`python -m tests.frameworks.host NAME SITUATION DATABASE_URL ...` prints a line when the agent is
where the situation wants it. Where another process is to stop it, that one then answers by a line
of JSON: when it asked for that, and when it had the receipt. Last the host prints a `Report`. On
the next database it begins anew, in a loop of its own: most of its time a process takes to start.
"""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from typing import Any, Final

from session_router import AgentId, AgentStream, SessionManager, SQLAlchemySessionRepository
from tests.frameworks.behaviour import LEFT_BY_ITS_CONSUMER, Limits, Report, expected
from tests.frameworks.fake import LAST_WORDS, LONGEST_TOOL_SEC, Agent, Model, Situation, Tools
from tests.frameworks.ticker import Ticker

SESSION: Final = "chat-1"
AGENT: Final = AgentId("assistant", "a")

_FLOWING_TOKENS: Final = 3
_WATCHED_TICKS: Final = 25
"""Half a second, in which a model that flows gives as many tokens."""
_ARRIVAL_SEC: Final = 30.0
_NEXT_TURN_SEC: Final = 15.0
_ANSWERS: Final = os.dup(1)


class Consumer:
    """Iterates a stream until it ends or, in some situations, leaves it."""

    def __init__(self, stream: AgentStream[Any], situation: Situation, model: Model) -> None:
        self._stream = stream
        self._situation = situation
        self._model = model
        self.has_flowed = asyncio.Event()
        self._may_go_on = asyncio.Event()
        self.task = asyncio.create_task(self._consume(), name="consumer")

    async def end(self, *, cancelled: bool = False) -> None:
        """Return when it has come to its end: it asks on, breaks, or is cancelled."""
        self._may_go_on.set()
        if cancelled:
            self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def _consume(self) -> None:
        async for _ in self._stream:
            if self._model.tokens < _FLOWING_TOKENS:
                continue
            self.has_flowed.set()
            if self._situation in (Situation.BUSY_CONSUMER, Situation.BREAK):
                await self._may_go_on.wait()
            if self._situation is Situation.BREAK:
                break
        await self._stream.aclose()


class Host:
    """One agent in one situation, and then in a turn that nobody stops."""

    def __init__(
        self, manager: SessionManager, agent: Agent, model: Model, tools: Tools, ticker: Ticker
    ) -> None:
        self._manager = manager
        self._agent = agent
        self._model = model
        self._tools = tools
        self._ticker = ticker
        self._arrived_at = 0.0

    async def report(self, situation: Situation, limits: Limits) -> Report:
        before = asyncio.all_tasks()
        stream = self._stream("Begin.")
        consumer = Consumer(stream, situation, self._model)
        await self._arrive(consumer, situation)
        asked_at, told_at = await self._leave(consumer, situation)
        at_once = asyncio.all_tasks() - before
        await self._ticker.ticks(_WATCHED_TICKS)
        tasks_left = at_once & asyncio.all_tasks() - {asyncio.current_task()}
        behaviour, reason = expected(limits, situation)
        return Report(
            expected=behaviour,
            limit=reason,
            outcome=stream.outcome,
            tokens_after=_number_after(told_at, self._model.token_times),
            steps_after=_number_after(told_at, self._tools.step_times),
            tasks_left=sorted(_described(task) for task in tasks_left),
            longest_gap_sec=self._ticker.longest_gap_sec(self._arrived_at),
            left_within_sec=told_at - asked_at,
            history=await self._agent.history(),
            next_turn=await self._next_turn(),
            next_history=await self._agent.history(),
            tool_has_ended=await self._tool_has_ended(situation),
        )

    def _stream(self, prompt: str) -> AgentStream[Any]:
        turn = self._agent.turn(prompt)
        return self._manager.stream(SESSION, AGENT, turn.source, on_stop=turn.on_stop)

    async def _arrive(self, consumer: Consumer, situation: Situation) -> None:
        """Return when all are where the situation wants them, and say so."""
        place: asyncio.Task[Any]
        if situation is Situation.WAITING_IN_MODEL:
            place = asyncio.create_task(self._model.is_waiting.wait())
        elif situation in (Situation.ASYNC_TOOL, Situation.SYNC_TOOL):
            # From a thread: the tool may block the loop.
            place = asyncio.create_task(asyncio.to_thread(self._say_when_in_tool))
        else:
            place = asyncio.create_task(consumer.has_flowed.wait())
        await asyncio.wait([place, consumer.task], return_when=asyncio.FIRST_COMPLETED)
        if self._tools.entered.is_set():
            return
        if not place.done():
            await consumer.task  # which may raise why
            raise RuntimeError(f"the stream ended before this: {situation}")
        self._say_ready()

    def _say_when_in_tool(self) -> None:
        if self._tools.entered.wait(_ARRIVAL_SEC):
            self._say_ready()

    def _say_ready(self) -> None:
        self._arrived_at = time.monotonic()
        _say("ready")

    async def _leave(self, consumer: Consumer, situation: Situation) -> tuple[float, float]:
        """Have the stream left; returns when that was asked for, and when it was said done."""
        if situation in LEFT_BY_ITS_CONSUMER:
            asked_at = time.monotonic()
            await consumer.end(cancelled=situation is Situation.CANCELLED_CONSUMER)
            return asked_at, time.monotonic()
        asked_at, told_at = json.loads(await asyncio.to_thread(sys.stdin.readline))
        await consumer.end()
        return asked_at, told_at

    async def _next_turn(self) -> str:
        self._model.begin_next_turn()
        try:
            async with asyncio.timeout(_NEXT_TURN_SEC):
                stream = self._stream("And now?")
                items = [str(item) async for item in stream]
        except Exception as error:  # whatever the framework's agent meets is told
            return f"{type(error).__name__}: {error}"
        if not any(LAST_WORDS in item for item in items):
            return f"{stream.outcome} without the last words: {items[-3:]}"
        return str(stream.outcome)

    async def _tool_has_ended(self, situation: Situation) -> bool:
        if situation is not Situation.SYNC_TOOL:
            return False
        return await asyncio.to_thread(self._tools.has_ended.wait, 2 * LONGEST_TOOL_SEC)


def _number_after(moment: float, times: list[float]) -> int:
    return sum(time > moment for time in times)


def _described(task: "asyncio.Task[Any]") -> str:
    return f"{task.get_name()}: {task.get_coro()}".partition(" at 0x")[0]


async def main(name: str, situation: Situation, database_url: str) -> Report:
    module = import_module(f"tests.frameworks.agents.{name}")
    model, tools = Model(situation), Tools()
    agent = module.Agent(model, tools)
    repository = SQLAlchemySessionRepository.from_url(database_url)
    async with SessionManager(repository) as manager, Ticker() as ticker:
        host = Host(manager, agent, model, tools, ticker)
        report = await host.report(situation, getattr(module, "LIMITS", {}))
    await repository.close()
    return report


def _say(line: str) -> None:
    os.write(_ANSWERS, f"{line}\n".encode())


if __name__ == "__main__":
    os.dup2(2, 1)  # what frameworks print is no answer
    name, situation, *databases = sys.argv[1:]
    for database_url in databases:
        report = asyncio.run(main(name, Situation(situation), database_url))
        _say(json.dumps(asdict(report)))
