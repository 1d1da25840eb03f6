"""How the database is now, where there is more of it than is counted one by one."""

import pytest
from sqlalchemy import text

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.repository.measures import COUNTED_AT_MOST, EVENTS_AT_ONCE
from session_router.telemetry.metrics import Metrics
from tests.support.waiting import eventually

ROWS = 3 * COUNTED_AT_MOST // 2

FILL = """
    INSERT INTO {p}sessions (session_id, session_uid, start_time, last_updated)
    SELECT 's' || n, {uuid}, {time}, {time} FROM {numbers};
    INSERT INTO {p}agent_streams (
        session_id, agent_type, agent_key, stream_id, worker_id, started_at
    )
    SELECT 's' || n, CASE n % 3 WHEN 0 THEN 'reader' ELSE 'writer' END, 'a', {uuid}, {uuid}, {time}
    FROM {numbers}
"""
ENDED = """
    INSERT INTO {p}session_events (session_id, session_uid, event, agent_type, agent_key, stream_id,
        occurred_at, started_at, outcome)
    SELECT 's' || n, {uuid}, 'stream_finished', 'writer', 'a', {uuid}, {a_second}, {began},
        'completed'
    FROM {numbers} WHERE n <= {number}
"""


def words_for(repository: SQLAlchemySessionRepository) -> dict[str, str]:
    """What the statements say in the words of one database."""
    if repository.engine.dialect.name == "sqlite":
        return {
            "p": "",
            "uuid": "lower(hex(randomblob(16)))",
            "time": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
            "a_second": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
            "began": "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 second')",
            "numbers": (
                f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS})"
                " SELECT n FROM c)"
            ),
        }
    return {
        "p": "session_router.",
        "uuid": "gen_random_uuid()",
        "time": "now()",
        "a_second": "now()",
        "began": "now() - interval '1 second'",
        "numbers": f"generate_series(1, {ROWS}) n",
    }


async def fill(repository: SQLAlchemySessionRepository) -> None:
    words = words_for(repository)
    async with repository.engine.begin() as conn:
        for statement in FILL.format(**words).split(";"):
            await conn.execute(text(statement))


async def test_what_there_is_much_of_is_an_estimate_that_is_near(database_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    manager = SessionManager(repository)
    await fill(repository)

    async def is_near() -> bool:
        stock = await manager.stock()
        assert stock is not None
        streams = stock.streams["reader"], stock.streams["writer"]
        return (stock.sessions, *streams) == pytest.approx((ROWS, ROWS / 3, 2 * ROWS / 3), rel=0.05)

    # The server counts by itself with a delay.
    await eventually(is_near)
    await repository.close()


async def test_what_a_vacuum_found_does_where_the_server_has_lost_count(postgres_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    manager = SessionManager(repository)
    await fill(repository)
    async with repository.engine.connect() as conn:
        await conn.execution_options(isolation_level="AUTOCOMMIT")
        await conn.execute(text("VACUUM session_router.sessions"))

    async def has_lost_count() -> bool:
        async with repository.engine.begin() as conn:
            await conn.execute(text("SELECT pg_stat_reset()"))
            sessions = "'session_router.sessions'::regclass"
            live = await conn.execute(text(f"SELECT pg_stat_get_live_tuples({sessions})"))
            return bool(live.scalar_one() == 0)

    await eventually(has_lost_count)
    stock = await manager.stock()
    assert stock is not None
    assert stock.sessions == pytest.approx(ROWS, rel=0.05)
    await repository.close()


async def test_events_that_are_many_are_tallied_a_stretch_after_the_other(
    database_url: str,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    metrics = Metrics(SessionManager(repository))
    await metrics.refresh()
    words, number = words_for(repository), 2 * EVENTS_AT_ONCE + 1
    async with repository.engine.begin() as conn:
        await conn.execute(text(ENDED.format(**words, number=number)))
    await metrics.refresh()
    labels = {"agent_type": "writer", "outcome": "completed"}
    name = "session_router_stream_duration_seconds"
    counted = metrics.registry.get_sample_value(f"{name}_count", labels)
    assert counted == metrics.registry.get_sample_value(f"{name}_sum", labels) == number
    await repository.close()
