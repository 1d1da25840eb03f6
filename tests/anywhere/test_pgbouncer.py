"""Behind PgBouncer in transaction mode: the application through it, the listener beside it."""

import asyncio
from collections.abc import Iterator

import pytest

from session_router import AgentId, DatabaseError, SessionManager, SQLAlchemySessionRepository
from session_router.settings import Tuning
from tests.anywhere.conftest import TUNING
from tests.support.laws import violations
from tests.support.pgbouncer import pgbouncer
from tests.support.waiting import eventually


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    with pgbouncer(postgres_url) as url:
        yield f"{url}?prepared_statement_cache_size=0"


async def use_it(manager: SessionManager) -> None:
    """Far more callers than the pooler has connections."""
    agents = [AgentId("writer", str(number)) for number in range(60)]
    async with asyncio.TaskGroup() as group:
        for number, agent_id in enumerate(agents):
            group.create_task(manager.register_agent(f"chat{number % 7}", agent_id))
    async with asyncio.TaskGroup() as group:
        for number in range(7):
            group.create_task(manager.interrupt_streaming_agents(f"chat{number}"))


async def test_the_listener_has_a_url_of_its_own(postgres_url: str, pooled_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(pooled_url, listen_url=postgres_url)
    async with SessionManager(repository, tuning=Tuning(**TUNING)) as manager:
        await eventually(lambda: manager.wake_ups.mode == "listening")
        await use_it(manager)
    assert await violations(repository) == []
    await repository.close()


async def test_without_one_it_polls_and_says_so(pooled_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(pooled_url)
    async with SessionManager(repository, tuning=Tuning(**TUNING)) as manager:
        await eventually(lambda: "listen_url" in (manager.wake_ups.reason or ""))
        assert manager.wake_ups.mode == "polling"
        await use_it(manager)
    assert await violations(repository) == []
    await repository.close()


async def test_a_url_that_is_not_fit_for_a_pooler_is_told_of(pooled_url: str) -> None:
    url = pooled_url.partition("?")[0]
    repositories = [SQLAlchemySessionRepository.from_url(url) for _ in range(20)]

    async def is_told() -> bool:
        managers = [SessionManager(repository) for repository in repositories]
        answers = await asyncio.gather(
            *(m.start_session(f"s{n}") for n, m in enumerate(managers)), return_exceptions=True
        )
        errors = [answer for answer in answers if isinstance(answer, DatabaseError)]
        return any("prepared_statement_cache_size=0" in str(error) for error in errors)

    await eventually(is_told)
    for repository in repositories:
        await repository.close()
