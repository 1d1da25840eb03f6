"""A caller that is cancelled, at whatever await, leaks no connection and breaks no law."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.pool import QueuePool

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from tests.support.laws import violations
from tests.support.waiting import eventually

WRITER = AgentId("writer", "alice")

OPERATIONS: dict[str, Callable[[SessionManager], Awaitable[object]]] = {
    "start_session": lambda manager: manager.start_session("s"),
    "start_new_session": lambda manager: manager.start_new_session("s"),
    "get_session": lambda manager: manager.get_session("s"),
    "register_agent": lambda manager: manager.register_agent("s", WRITER),
    "unmark_agent_streaming": lambda manager: manager.unmark_agent_streaming("s", WRITER),
    "interrupt_streaming_agents": lambda manager: manager.interrupt_streaming_agents("s"),
    "end_session": lambda manager: manager.end_session("s"),
    "expire_old_sessions": lambda manager: manager.expire_old_sessions(),
}


async def cancelled_after(turns: int, operation: Awaitable[object]) -> bool:
    """Cancel an operation after so many turns of the loop; returns whether it was in time."""
    task = asyncio.ensure_future(operation)
    for _ in range(turns):
        await asyncio.sleep(0)
    was_in_time = task.cancel()
    await asyncio.wait({task})
    return was_in_time and task.cancelled()


def checked_out(repository: SQLAlchemySessionRepository) -> int:
    pool = repository.engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_cancelled_caller_leaks_no_connection(database_url: str, name: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    manager = SessionManager(repository)
    await manager.register_agent("s", WRITER)
    await manager.shutdown()
    reserved = checked_out(repository)
    cancelled = 0
    for turns in range(40):
        cancelled += await cancelled_after(turns, OPERATIONS[name](manager))
    assert cancelled > 0
    await manager.shutdown()
    await eventually(lambda: checked_out(repository) == reserved)
    assert await violations(repository) == []
    await repository.close()


async def test_closing_waits_for_the_transactions_of_callers_that_went_away(
    database_url: str,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    manager = SessionManager(repository)
    task = asyncio.create_task(manager.start_session("s"))
    while not checked_out(repository):  # noqa: ASYNC110 - the moment passes within milliseconds
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    await repository.close()
    after = SQLAlchemySessionRepository.from_url(database_url)
    assert await after.find_session("s") is not None
    await after.close()
