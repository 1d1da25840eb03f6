"""What the schema of our tables may be called: nearly anything, and the rest is refused."""

from collections.abc import Callable, Iterator

import pytest

from session_router import (
    AgentId,
    InvalidSettingError,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.audit.trail import Trail
from session_router.database import migrate
from session_router.database.engine import create_engine
from session_router.database.host_alembic import leaving_out
from session_router.database.migrate import Target
from session_router.database.schema import build_tables
from session_router.reports import Reports
from session_router.schema_name import check_schema
from session_router.settings import Settings
from tests.support.databases import PostgresDatabases
from tests.support.sql import query, run_script

URL = "postgresql://nobody@127.0.0.1:1/nowhere"
OURS = ["sessions", "s", "report_live", "refuse_change"]
TOO_LONG = "a" * 64


@pytest.fixture
def url(postgres: PostgresDatabases) -> Iterator[str]:
    """A database without tables."""
    with postgres.fresh(empty=True) as url:
        yield url


@pytest.mark.parametrize("schema", [*OURS, "_", "a" * 63])
async def test_any_name_that_is_accepted_does(url: str, schema: str) -> None:
    target = Target(url, schema)
    await migrate.upgrade(target)
    assert await migrate.check(target) == []
    repository = SQLAlchemySessionRepository.from_url(url, schema=schema)
    async with SessionManager(repository) as manager:
        await manager.register_agent("a", AgentId("writer", "1"))
        await manager.end_session("a")
    await repository.close()
    await migrate.downgrade(target, "base")
    assert await migrate.current(target) is None


@pytest.mark.parametrize("schema", ["s", "a" * 63])
async def test_so_does_the_sql_that_is_printed(url: str, schema: str) -> None:
    target = Target(url, schema)
    run_script(url, await migrate.sql(target))
    assert await migrate.check(target) == []


@pytest.mark.parametrize("schema", ["user", "order", "values", "pg_mine", "Mine", "1a", "", "a b"])
async def test_any_other_is_refused_wherever_it_comes_in(schema: str) -> None:
    engine = create_engine(URL)
    ways_in: list[Callable[[], object]] = [
        lambda: Settings(database_schema=schema),
        lambda: Target(URL, schema),
        lambda: SQLAlchemySessionRepository(engine, schema=schema),
        lambda: SQLAlchemySessionRepository.from_url(URL, schema=schema),
        lambda: Trail(engine, schema=schema),
        lambda: Reports(engine, schema),
        lambda: build_tables(schema),
        lambda: leaving_out(schema),
    ]
    for way_in in ways_in:
        with pytest.raises(InvalidSettingError, match="cannot be called"):
            way_in()
    await engine.dispose()


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("user", "'user': it is a key word of SQL; choose another."),
        ("pg_mine", "PostgreSQL keeps that name"),
        ("information_schema", "PostgreSQL keeps that name"),
        (TOO_LONG, "1 to 63"),
        ('x"; DROP SCHEMA y', "letters a to z"),
    ],
)
def test_a_refusal_says_why(schema: str, why: str) -> None:
    with pytest.raises(InvalidSettingError, match=why):
        check_schema(schema)


async def test_every_word_that_the_server_would_quote_is_refused(postgres_url: str) -> None:
    words = await query(
        postgres_url, "SELECT word FROM pg_get_keywords() WHERE quote_ident(word) <> word"
    )
    assert len(words) > 100
    for (word,) in words:
        with pytest.raises(InvalidSettingError, match="key word"):
            check_schema(word)
