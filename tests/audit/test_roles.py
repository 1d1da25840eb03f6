"""Roles of least privilege: each logs in, does what it must, and is refused what it must not."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from session_router import AgentId, DatabaseError, SessionManager, SQLAlchemySessionRepository
from session_router.audit.erasure import erase
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.database import migrate
from session_router.database.grants import grants
from session_router.database.migrate import Target
from session_router.errors import InvalidValueError
from session_router.pseudonyms import ErasureKey
from tests.support.by_hand import execute
from tests.support.databases import run

PASSWORD = "a-password-of-tests"
S = "session_router"
NAMES = ("app", "reader", "retention")


@dataclass(frozen=True)
class Roles:
    """The URL of one database, for its owner and for each role."""

    owner: str
    app: str
    reader: str
    retention: str


@pytest.fixture
def roles(postgres_url: str) -> Iterator[Roles]:
    database = make_url(postgres_url).database
    names = {name: f'{name} "of" {database}' for name in NAMES}

    async def create() -> None:
        quoted = [name.replace('"', '""') for name in names.values()]
        await execute(
            postgres_url,
            *(f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{PASSWORD}'" for name in quoted),
            *grants(S, **names),
            "SELECT 1",
        )

    async def drop() -> None:
        quoted = [name.replace('"', '""') for name in names.values()]
        await execute(
            postgres_url,
            *(f'DROP OWNED BY "{name}"' for name in quoted),
            *(f'DROP ROLE "{name}"' for name in quoted),
            "SELECT 1",
        )

    run(create())
    urls = {
        name: make_url(postgres_url)
        .set(username=role, password=PASSWORD)
        .render_as_string(hide_password=False)
        for name, role in names.items()
    }
    yield Roles(owner=postgres_url, **urls)
    run(drop())


@asynccontextmanager
async def repository_of(url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    repository = SQLAlchemySessionRepository.from_url(url)
    try:
        yield repository
    finally:
        await repository.close()


async def live_through_everything(url: str) -> None:
    """All that a worker does: start, register, supersede, interrupt, replace, sweep, reap, save."""
    async with repository_of(url) as repository, SessionManager(repository) as manager:
        other = SessionManager(repository)
        await manager.register_agent("s", AgentId("a", "b"))
        await other.register_agent("s", AgentId("a", "b"))
        await manager.interrupt_streaming_agents("s", wait=5)
        await manager.register_agent("s", AgentId("a", "b"))
        await manager.get_session("s")
        session = await manager.start_new_session("s")
        await repository.save_session(session)
        await repository.add_worker(dead := uuid4(), "host", 1)
        await repository.reap_workers({dead: (await repository.heartbeats())[dead]})
        await manager.expire_old_sessions()
        await other.shutdown()
        await manager.end_session("s")


async def refused(url: str, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(url, statement)


CHANGES = (
    f"UPDATE {S}.session_events SET actor = 'x'",
    f"DELETE FROM {S}.session_events",
    f"TRUNCATE {S}.session_events",
    f"DELETE FROM {S}.audit_seals",
    f"UPDATE {S}.pruned_stories SET events = 0",
    f"UPDATE {S}.session_router_version SET version_num = '0001'",
    f"DROP TABLE {S}.sessions",
    f"ALTER TABLE {S}.session_events DISABLE TRIGGER USER",
    f"CREATE TABLE {S}.mine (x int)",
)
RETENTION = (
    f"SELECT {S}.prune_trail('{{}}', '{{}}', now(), gen_random_uuid(), 'me')",
    f"SELECT {S}.erase_events('{{}}', 'x', '{{}}', '{{}}', '{{}}', gen_random_uuid(), 'me')",
)


async def test_the_app_does_all_that_the_service_does_and_no_more(roles: Roles) -> None:
    await live_through_everything(roles.app)
    assert await migrate.check(Target(roles.app)) == []

    await refused(roles.app, *CHANGES, *RETENTION, f"INSERT INTO {S}.audit_seals DEFAULT VALUES")


async def test_the_reader_reads_and_verifies_and_changes_nothing(roles: Roles) -> None:
    await live_through_everything(roles.owner)
    async with Trail.opened(roles.reader) as trail:
        assert (await verify(trail, None)).violations == []
    async with repository_of(roles.reader) as repository:
        assert await repository.list_events("s")
        with pytest.raises(DatabaseError):
            await SessionManager(repository).start_session("t")
    assert await migrate.current(Target(roles.reader)) == migrate.head()

    inserts = [
        f"INSERT INTO {S}.{table} DEFAULT VALUES"
        for table in ("sessions", "workers", "session_events", "audit_seals")
    ]
    await refused(roles.reader, *CHANGES, *RETENTION, *inserts)


async def test_retention_seals_prunes_and_erases_and_changes_nothing_by_hand(
    roles: Roles, key: ErasureKey
) -> None:
    await live_through_everything(roles.owner)
    async with repository_of(roles.owner) as repository:
        manager = SessionManager(repository)
        await manager.register_agent("live", AgentId("a", "b"))
        async with Trail.opened(roles.retention) as trail:
            assert await seal(trail, key)
            assert await erase(trail, "live", key) is not None
            done = await prune(trail, datetime.now(UTC) + timedelta(seconds=5), key)
            assert done.stories > 0
            assert (await verify(trail, key)).violations == []
        await manager.shutdown()

    await refused(roles.retention, *CHANGES, f"INSERT INTO {S}.workers DEFAULT VALUES")


async def test_retention_does_not_prune_what_lives_or_is_young(roles: Roles) -> None:
    async with repository_of(roles.owner) as repository:
        await SessionManager(repository).start_session("live")
        await SessionManager(repository).start_session("young")
        await SessionManager(repository).end_session("young")
        for name, before in (("live", "now() + interval '1 day'"), ("young", "'2000-01-01'")):
            [event, *_] = await repository.list_events(name)
            [row] = await execute(
                roles.retention,
                f"SELECT {S}.prune_trail(ARRAY['{event.session_uid}'::uuid], ARRAY['{name}'], "
                f"{before}, gen_random_uuid(), 'me') AS removed",
            )
            assert row["removed"] == 0
            assert await repository.list_events(name)


PSEUDONYM = "'erased-' || repeat('0', 64)"


@pytest.mark.parametrize(
    ("name", "actor"),
    [
        ("'eve'", PSEUDONYM),
        (PSEUDONYM, "'eve'"),
        (PSEUDONYM, "NULL"),
        (PSEUDONYM, "'erased-' || repeat('0', 63)"),
    ],
)
async def test_retention_puts_nothing_but_pseudonyms_into_events(
    roles: Roles, name: str, actor: str
) -> None:
    async with repository_of(roles.owner) as repository:
        await SessionManager(repository).start_session("s")
        await SessionManager(repository).end_session("s", actor="bob")
        before = await repository.list_events()
        [row] = await execute(
            roles.retention,
            f"SELECT {S}.erase_events(ARRAY[2], {name}, ARRAY[NULL], ARRAY[{actor}], "
            "ARRAY[NULL], gen_random_uuid(), 'me') AS changed",
        )
        assert row["changed"] == 0
        assert await repository.list_events() == before


@pytest.mark.parametrize("role", ["", "\0", "x" * 64])
def test_what_cannot_be_a_role_is_refused(role: str) -> None:
    with pytest.raises(InvalidValueError, match="role"):
        grants(S, app=role)


def test_without_a_role_there_is_nothing_to_grant() -> None:
    with pytest.raises(InvalidValueError, match="--app"):
        grants(S)
