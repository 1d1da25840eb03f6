"""Hooks while receivers and who delivers come and go: none is lost, and order is kept."""

import asyncio
import os
import signal
from collections import defaultdict
from typing import Any

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.hooks import HookStore, NewHook
from tests.hooks.receiver import Receiver, receiving
from tests.support.processes import PythonProcess
from tests.support.trail import events
from tests.support.waiting import eventually

WRITER = AgentId("writer", "ann")
NUMBER = int(os.environ.get("SESSION_ROUTER_TEST_HOOK_EVENTS", "600"))
SESSIONS = 50


async def test_a_receiver_that_was_down_gets_all_though_who_delivers_is_killed(
    postgres_url: str,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    store = HookStore(repository.engine)
    async with receiving() as down:
        new = NewHook.to_url(down.url, ["stream.finished", "session.ended"], allows_private=True)
        await store.put(new)
    async with SessionManager(repository) as manager:
        for first in range(0, NUMBER // 2, SESSIONS):
            lives = [f"s{number % SESSIONS}" for number in range(first, first + SESSIONS)]
            await asyncio.gather(*(_live(manager, session_id) for session_id in lives))

    async with PythonProcess.running("tests.hooks.deliver", postgres_url) as first_one:
        await eventually(lambda: "hook_failed" in first_one.said(), within=60)
        async with receiving(down.port) as receiver:
            receiver.answers = _moody()
            await eventually(lambda: len(receiver.taken) > NUMBER // 4, within=120)
            first_one.send(signal.SIGKILL)
            async with PythonProcess.running("tests.hooks.deliver", postgres_url):
                # What the first one had claimed is due again when its claim is over.
                await eventually(lambda: _is_owed_nothing(store), within=300)
    _check(receiver, [e.event_id for e in await events(repository) if e.outcome or _ends(e)])
    assert await store.dead() == []
    await repository.close()


async def _live(manager: SessionManager, session_id: str) -> None:
    await manager.register_agent(session_id, WRITER)
    await manager.unmark_agent_streaming(session_id, WRITER)
    await manager.end_session(session_id)


def _moody() -> Any:
    """Refuses every seventh request."""
    asked = iter(range(10**9))
    return lambda told: 503 if next(asked) % 7 == 3 else 200


def _ends(event: Any) -> bool:
    return bool(event.event == "session_ended")


async def _is_owed_nothing(store: HookStore) -> bool:
    return await store.owed() == 0


def _check(receiver: Receiver, event_ids: list[int]) -> None:
    taken = [told["data"]["event_id"] for told in receiver.taken]
    assert sorted(set(taken)) == sorted(event_ids)
    assert len(event_ids) == NUMBER
    first_told: dict[str, list[int]] = defaultdict(list)
    for told in receiver.taken:
        event = told["data"]
        if event["event_id"] not in first_told[event["session_id"]]:
            first_told[event["session_id"]].append(event["event_id"])
    assert all(ids == sorted(ids) for ids in first_told.values())
    bodies = defaultdict(set)
    for headers, body in receiver.requests:
        bodies[headers["webhook-id"]].add(body)
    assert all(len(told) == 1 for told in bodies.values())
