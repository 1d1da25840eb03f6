"""A trail with a few stories, and what takes it to pieces by hand."""

from collections.abc import AsyncIterator

import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.audit.keys import AuditKeys
from session_router.audit.seals import Seal
from session_router.audit.trail import Trail
from session_router.pseudonyms import ErasureKey
from tests.support.by_hand import execute

KEY = "an erasure key that nobody else has"
_GUARDED = (
    *("session_events", "audit_seals", "pruned_stories", "key_events"),
    *("audit_verifications", "sealed_changes"),
)


@pytest.fixture
def keys() -> AuditKeys:
    return AuditKeys(ErasureKey(KEY))


@pytest.fixture
async def trail(database_url: str) -> AsyncIterator[Trail]:
    async with Trail.opened(database_url) as opened:
        yield opened


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    made = SQLAlchemySessionRepository.from_url(database_url)
    yield made
    await made.close()


@pytest.fixture
async def stories(
    repository: SQLAlchemySessionRepository,
) -> AsyncIterator[SQLAlchemySessionRepository]:
    """`over` has ended, `stopped` lives and was interrupted, `live` lives and streams."""
    manager = SessionManager(repository)
    await manager.register_agent("over", AgentId("writer", "ann"))
    await manager.end_session("over", actor="bob", reason="enough")
    await manager.register_agent("stopped", AgentId("writer", "eve"))
    await manager.interrupt_streaming_agents("stopped", actor="bob", reason="too long", wait=5)
    await manager.shutdown()
    other = SessionManager(repository)
    await other.register_agent("live", AgentId("reader", "joe"))
    yield repository
    await other.shutdown()


async def tamper(url: str, *statements: str) -> None:
    """Change what nobody may change, as somebody can who may change the tables themselves."""
    if url.startswith("sqlite"):
        found = await execute(url, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        drops = [f"DROP TRIGGER {name}" for name, _ in found]
        await execute(url, *drops, *statements, *(sql for _, sql in found), "SELECT 1")
        return
    off = [f"ALTER TABLE session_router.{table} DISABLE TRIGGER USER" for table in _GUARDED]
    on = [
        f"ALTER TABLE session_router.{table} ENABLE TRIGGER USER, "
        f"ENABLE ALWAYS TRIGGER {table}_append_only"
        for table in _GUARDED
    ]
    await execute(url, *off, *statements, *on, "SELECT 1")


def inserted(made: Seal) -> str:
    """Puts a seal among the others, as the tables' owner can."""
    row = made.model_dump() | {"sealed_at": f"{made.sealed_at:%Y-%m-%d %H:%M:%S.%f}"}
    values = ", ".join(map(repr, row.values()))
    return f"INSERT INTO session_router.audit_seals ({', '.join(row)}) VALUES ({values})"
