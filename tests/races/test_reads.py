"""Reads that see one moment, whatever happens while they are made."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event

from session_router import AgentId, Session, SQLAlchemySessionRepository
from session_router.repository.changes import Register, Start
from session_router.repository.records import Requester
from tests.support.databases import run

ALICE = AgentId("writer", "alice")


async def begin_another_life(url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    await repository.replace_session(Start("s", Requester()))
    await repository.add_worker(worker_id := uuid4(), "host", 1)
    await repository.register_stream(Register("s", ALICE, worker_id, uuid4(), renew=False))
    await repository.close()


async def found(repository: SQLAlchemySessionRepository) -> Session | None:
    return await repository.find_session("s")


async def listed(repository: SQLAlchemySessionRepository) -> Session | None:
    return (await repository.list_sessions())[0]


@pytest.mark.parametrize("read", [found, listed])
async def test_a_session_is_never_shown_with_the_agents_of_its_ids_next_life(
    database_url: str,
    read: Callable[[SQLAlchemySessionRepository], Awaitable[Session | None]],
) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    first = await repository.start_session(Start("s", Requester()))
    lives = 1

    def replace_behind(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        """Right after the reader's first look at the sessions, the life it saw is over."""
        nonlocal lives
        if lives == 1 and "sessions" in statement:
            lives = 2
            run(begin_another_life(database_url))

    event.listen(repository.engine.sync_engine, "after_cursor_execute", replace_behind)
    seen = await read(repository)
    assert lives == 2
    assert seen == first
    after = await read(repository)
    assert after is not None
    assert (after.start_time > first.start_time, after.agents_streaming) == (True, {ALICE})
    await repository.close()
