"""What a DBA sees in `pg_stat_activity`: whose connection each is, and what it is for."""

from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.access import Keys
from session_router.audit.trail import Trail
from session_router.database.migrate import Target
from tests.support.waiting import eventually


async def names_in(url: str) -> set[str]:
    """What the connections to a database are called, but for the one that asks."""
    conn = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        found = await conn.fetch(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return {row["application_name"] for row in found}
    finally:
        await conn.close()


def with_query(url: str, **query: str) -> str:
    return make_url(url).update_query_dict(query).render_as_string(hide_password=False)


async def test_a_workers_connections_are_called_by_its_id_and_their_jobs(
    postgres_url: str,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    async with SessionManager(repository) as manager:
        expected = {
            f"session_router {manager.worker_id} {job}" for job in ("pool", "heartbeat", "listen")
        }

        async def are_called_so() -> bool:
            return await names_in(postgres_url) == expected

        await eventually(are_called_so, within=60)
        assert max(len(name.encode()) for name in expected) <= 63
    await repository.close()


async def test_a_worker_that_was_reaped_goes_by_its_next_incarnations_id(
    postgres_url: str,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    async with SessionManager(repository) as manager:
        before = manager.worker_id
        await repository.remove_worker(before)

        async def are_called_anew() -> bool:
            names = await names_in(postgres_url)
            if manager.worker_id == before or await repository.find_session("any") is not None:
                return False
            jobs = {name.removeprefix(f"session_router {manager.worker_id} ") for name in names}
            return {"heartbeat", "pool"} <= jobs

        await eventually(are_called_anew, within=60)
    await repository.close()


async def test_before_there_is_a_worker_they_are_called_by_their_jobs(postgres_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    await repository.find_session("any")
    async with (
        Trail.opened(postgres_url) as trail,
        trail.reading(),
        Keys.opened(postgres_url) as keys,
        Target(postgres_url).connected(writes=True),
    ):
        await keys.are_there()
        assert await names_in(postgres_url) == {
            "session_router pool",
            "session_router audit",
            "session_router keys",
            "session_router migrate",
        }
    await repository.close()


@pytest.mark.parametrize(
    "query",
    [
        {"application_name": "ours"},
        {"options": "-c application_name=ours"},
    ],
)
async def test_a_name_in_the_url_stays_that_of_all_connections(
    postgres_url: str, query: dict[str, str]
) -> None:
    repository = SQLAlchemySessionRepository.from_url(with_query(postgres_url, **query))
    async with SessionManager(repository) as manager:
        await eventually(lambda: manager.wake_ups.mode == "listening", within=60)
        assert await names_in(postgres_url) == {"ours"}
    await repository.close()


async def test_the_pool_of_an_engine_that_is_a_hosts_keeps_its_name(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url)
    repository = SQLAlchemySessionRepository(engine)
    async with SessionManager(repository) as manager:
        worker_id: UUID = manager.worker_id
        await eventually(lambda: manager.wake_ups.mode == "listening", within=60)
        names = await names_in(postgres_url)
    assert "" in names
    assert f"session_router {worker_id} listen" in names
    assert f"session_router {worker_id} pool" not in names
    await repository.close()
    await engine.dispose()
