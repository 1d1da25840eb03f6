"""A worker of the storm: `python -m tests.faults.load URL JOURNAL SEED`.

Many tasks at random operations, on ids that they share with the other workers. Every call and
what came of it goes to the journal, the errors too: none ends it. Lines on its standard input are
orders: `calm` (begin nothing more), `leave` (shut down). It prints `ready` when it begins, `calm`
when nothing is under way any more, and ends with 0 when it has left.
"""

import asyncio
import contextlib
import random
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

from session_router import (
    AgentId,
    LocalAgentRuntime,
    Session,
    SessionManager,
    SessionRouterError,
    SQLAlchemySessionRepository,
)
from session_router.settings import Tuning
from tests.faults.journal import Journal, note_all_logs
from tests.faults.sources import SHAPES, Notes, SourceError

LEASE_SEC: Final = 3.0
TASKS: Final = 8
_TIMEOUT_MINUTES: Final = 0.5
_DEADLINE_SEC: Final = 2.0
_WAIT_SEC: Final = 2.0
_TUNING: Final = Tuning(
    lease_sec=LEASE_SEC,
    heartbeat_interval_sec=LEASE_SEC / 6,
    poll_interval_sec=0.5,
    listening_poll_interval_sec=2,
    cancel_timeout_sec=1,
    shutdown_timeout_sec=10,
)
_WEIGHTS: Final = {
    "start": 10,
    "start_rare": 6,
    "touch": 10,
    "register": 12,
    "unmark": 10,
    "stream": 14,
    "interrupt": 4,
    "interrupt_and_wait": 4,
    "end": 2,
    "renew": 2,
    "sweep": 1,
}

T = TypeVar("T")


class Clerk:
    """An agent that the runtime hosts: it stops at once, and notes that it was told to."""

    def __init__(self, journal: Journal, agent_id: AgentId) -> None:
        self._journal = journal
        self._agent_id = agent_id

    def trigger_transient_cancel(self) -> None:
        self._journal.write("cancelled", agent=str(self._agent_id))


class Load:
    """Random operations, each asked and answered in the journal."""

    def __init__(
        self,
        manager: SessionManager,
        runtime: LocalAgentRuntime,
        journal: Journal,
        chance: random.Random,
    ) -> None:
        self._manager = manager
        self._runtime = runtime
        self._journal = journal
        self._chance = chance
        self._calls = 0
        self._registered: list[tuple[str, AgentId, UUID]] = []
        self.is_calm = asyncio.Event()

    async def work(self) -> None:
        names, weights = list(_WEIGHTS), list(_WEIGHTS.values())
        while not self.is_calm.is_set():
            name = self._chance.choices(names, weights)[0]
            session_id = f"busy-{self._chance.randrange(24)}"
            await getattr(self, f"_{name}")(session_id)
            await asyncio.sleep(self._chance.uniform(0.02, 0.2))

    async def call(
        self, name: str, work: Callable[[str], Awaitable[T]], tell: Callable[[T], Any], **asked: Any
    ) -> T | None:
        """One call, with what it was asked and what came of it; None when it raised.

        Args:
            work: makes the call; takes its name in the trail, an actor that nobody else has.
            tell: what of the answer is to be noted.
        """
        self._calls += 1
        number, actor = self._calls, f"{self._manager.worker_id}/{self._calls}"
        self._journal.write("asked", call=number, name=name, actor=actor, **asked)
        try:
            answer = await work(actor)
        except SourceError:
            self._journal.write("answered", call=number, name=name, answer=None)
        except (Exception, asyncio.CancelledError) as error:  # nobody cancels these tasks
            self._note_error(number, name, error)
        else:
            self._journal.write("answered", call=number, name=name, answer=tell(answer))
            return answer
        return None

    def _note_error(self, number: int, name: str, error: BaseException) -> None:
        self._journal.write(
            "raised",
            call=number,
            name=name,
            error=type(error).__name__,
            raw=not isinstance(error, SessionRouterError),
            nothing_written=getattr(error, "nothing_written", False),
            message=str(error)[:500],
        )

    async def _start(self, session_id: str) -> None:
        manager = self._manager
        await self.call(
            "start_session", lambda _: manager.start_session(session_id), _life, session=session_id
        )

    async def _start_rare(self, _: str) -> None:
        await self._start(f"rare-{self._chance.randrange(400)}")

    async def _touch(self, session_id: str) -> None:
        manager = self._manager
        await self.call(
            "get_session", lambda _: manager.get_session(session_id), _life, session=session_id
        )

    async def _register(self, session_id: str) -> None:
        agent_id = AgentId("clerk", str(self._chance.randrange(4)))
        self._runtime.add(agent_id, Clerk(self._journal, agent_id))
        stream_id = await self.call(
            "register_agent",
            lambda _: self._manager.register_agent(session_id, agent_id),
            str,
            session=session_id,
            agent=str(agent_id),
        )
        if stream_id is not None:
            self._registered.append((session_id, agent_id, stream_id))

    async def _unmark(self, _: str) -> None:
        if not self._registered:
            return
        at = self._chance.randrange(len(self._registered))
        session_id, agent_id, stream_id = self._registered.pop(at)
        named = stream_id if self._chance.random() < 0.8 else None
        manager = self._manager
        await self.call(
            "unmark_agent_streaming",
            lambda _: manager.unmark_agent_streaming(session_id, agent_id, named),
            str,
            session=session_id,
            stream_id=stream_id,
            is_named=named is not None,
        )

    async def _interrupt(self, session_id: str) -> None:
        await self.call(
            "interrupt_streaming_agents",
            lambda actor: self._manager.interrupt_streaming_agents(session_id, actor=actor),
            lambda agents: dict.fromkeys(map(str, agents)),
            session=session_id,
        )

    async def _interrupt_and_wait(self, session_id: str) -> None:
        await self.call(
            "interrupt_streaming_agents",
            lambda actor: self._manager.interrupt_streaming_agents(
                session_id, actor=actor, wait=_WAIT_SEC
            ),
            lambda receipts: {str(agent): outcome for agent, outcome in receipts.items()},
            session=session_id,
        )

    async def _end(self, session_id: str) -> None:
        await self.call(
            "end_session",
            lambda actor: self._manager.end_session(session_id, actor=actor),
            bool,
            session=session_id,
        )

    async def _renew(self, session_id: str) -> None:
        manager = self._manager
        await self.call(
            "start_new_session",
            lambda _: manager.start_new_session(session_id),
            _life,
            session=session_id,
        )

    async def _sweep(self, _: str) -> None:
        await self.call("expire_old_sessions", lambda _: self._manager.expire_old_sessions(), str)

    async def _stream(self, session_id: str) -> None:
        """In a session of its own as often as not: nobody else's change clears what it leaves."""
        if self._chance.random() < 0.5:
            session_id = f"own-{uuid4()}"
        shape = self._chance.choice(list(SHAPES))
        notes = Notes(self._journal, shape)
        agent_id = AgentId("writer", str(self._chance.randrange(4)))
        stream = self._manager.stream(session_id, agent_id, SHAPES[shape](notes))
        notes.stream_id = str(stream.stream_id)
        patience, items = self._chance.uniform(0.2, 3), self._chance.randrange(1, 60)
        pause = self._chance.choice([0, 0, 0.3])  # a consumer that is busy with each item
        says_goodbye = self._chance.random() < 0.8

        async def consume(_: str) -> None:
            """Leaves after so many items; one that loses its patience is cancelled."""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    left = items
                    async for _item in stream:
                        left -= 1
                        if not left:
                            break
                        await asyncio.sleep(pause)
            if says_goodbye:
                await stream.aclose()

        await self.call(
            "stream",
            consume,
            lambda _: str(stream.outcome),
            session=session_id,
            stream_id=notes.stream_id,
            shape=shape,
        )


def _life(session: Session | None) -> dict[str, str] | None:
    """What tells one life of a session from another."""
    return None if session is None else {"start_time": session.start_time.isoformat()}


async def main(url: str, path: Path, seed: int) -> None:
    journal = Journal(path)
    note_all_logs(journal)
    repository = SQLAlchemySessionRepository.from_url(url, deadline_sec=_DEADLINE_SEC)
    runtime = LocalAgentRuntime()
    manager = SessionManager(
        repository, runtime, _TIMEOUT_MINUTES, cleanup_interval_sec=1, tuning=_TUNING
    )
    chance = random.Random(seed)  # noqa: S311 - a load, not a secret
    load = Load(manager, runtime, journal, chance)
    orders = asyncio.StreamReader()
    standard_input, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    while await load.call("start", lambda _: _started(manager), bool) is None:
        if orders.at_eof():
            return  # whoever let it storm has gone
        await asyncio.sleep(0.2)
    print("ready", flush=True)  # noqa: T201
    async with asyncio.TaskGroup() as tasks:
        for _ in range(TASKS):
            tasks.create_task(load.work())
        await orders.readline()
        load.is_calm.set()
    print("calm", flush=True)  # noqa: T201
    await orders.readline()
    await load.call("shutdown", lambda _: manager.shutdown(), str)
    await load.call("close", lambda _: repository.close(), str)
    standard_input.close()


async def _started(manager: SessionManager) -> bool:
    await manager.start()
    return True


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
