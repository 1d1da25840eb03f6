"""Roles of least privilege: each logs in, does what it must, and is refused what it must not."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from session_router import AgentId, DatabaseError, SessionManager, SQLAlchemySessionRepository
from session_router.audit.erasure import erase
from session_router.audit.keys import NO_KEYS, AuditKeys
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import record, verify
from session_router.database import migrate
from session_router.database.definitions.audit_0006 import SEAL_ARGUMENTS
from session_router.database.definitions.audit_0016 import PRUNE_NOW
from session_router.database.grants import KEEPERS_FUNCTIONS, grants
from session_router.database.migrate import Target
from session_router.errors import InvalidValueError
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
    f"DELETE FROM {S}.audit_verifications",
    f"UPDATE {S}.pruned_stories SET events = 0",
    f"UPDATE {S}.session_router_version SET version_num = '0001'",
    f"DROP TABLE {S}.sessions",
    f"ALTER TABLE {S}.session_events DISABLE TRIGGER USER",
    f"CREATE TABLE {S}.mine (x int)",
)
RETENTION = (
    f"SELECT {S}.prune_trail(gen_random_uuid(), now(), '{{}}', '{{}}', 'me')",
    f"SELECT {S}.erase_events(gen_random_uuid(), '{{}}', 'x', '{{}}', '{{}}', '{{}}', 'me')",
    f"SELECT {S}.seal_trail(1, 1, 1, 1, 'x', 'x', 'x', now())",
    (
        f"SELECT {S}.keep_changes(gen_random_uuid(), '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', 'x', "
        "'{}')"
    ),
)
_EVENT = "session_id, session_uid, event) VALUES"
_VALUES = "'s', gen_random_uuid(), 'session_started')"
FORGERIES = (
    f"INSERT INTO {S}.session_events (event_id, {_EVENT} (4611686018427387904, {_VALUES}",
    f"INSERT INTO {S}.session_events (event_id, {_EVENT} (-1, {_VALUES}",
    f"INSERT INTO {S}.session_events (erased, {_EVENT} (true, {_VALUES}",
    f"INSERT INTO {S}.audit_seals DEFAULT VALUES",
    f"INSERT INTO {S}.audit_verifications (verified_at) VALUES (now())",
    f"INSERT INTO {S}.pruned_stories DEFAULT VALUES",
    f"INSERT INTO {S}.sealed_changes DEFAULT VALUES",
    f"SELECT setval('{S}.session_events_event_id_seq', 1)",
    f"SELECT nextval('{S}.session_events_event_id_seq')",
)


async def test_the_app_does_all_that_the_service_does_and_no_more(roles: Roles) -> None:
    await live_through_everything(roles.app)
    assert await migrate.check(Target(roles.app)) == []

    await refused(roles.app, *CHANGES, *RETENTION, *FORGERIES)


async def test_each_role_records_that_it_verified_the_trail(roles: Roles) -> None:
    for url in (roles.app, roles.reader, roles.retention):
        async with Trail.opened(url) as trail:
            await record(trail, await verify(trail, NO_KEYS), "me")
    [row] = await execute(roles.owner, f"SELECT count(*) AS made FROM {S}.audit_verifications")
    assert row["made"] == 3


async def test_the_reader_reads_and_verifies_and_changes_nothing(roles: Roles) -> None:
    await live_through_everything(roles.owner)
    async with Trail.opened(roles.reader) as trail:
        assert (await verify(trail, NO_KEYS)).violations == []
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
    roles: Roles, keys: AuditKeys
) -> None:
    await live_through_everything(roles.owner)
    async with repository_of(roles.owner) as repository:
        manager = SessionManager(repository)
        await manager.register_agent("live", AgentId("a", "b"))
        async with Trail.opened(roles.retention) as trail:
            assert await seal(trail, keys)
            assert await erase(trail, "live", keys) is not None
            done = await prune(trail, datetime.now(UTC) + timedelta(seconds=5), keys)
            assert done.stories > 0
            assert (await verify(trail, keys)).violations == []
        await manager.shutdown()

    await refused(roles.retention, *CHANGES, *FORGERIES, f"INSERT INTO {S}.workers DEFAULT VALUES")


UNFIT = {
    "a range that is not there": "1, 1, 99, 1",
    "another number of events": "1, 1, 2, 1",
    "a range that begins behind others": "1, 2, 2, 1",
    "no number": "0, 1, 2, 2",
    "nothing": "NULL, NULL, NULL, NULL",
}


@pytest.mark.parametrize("values", UNFIT.values(), ids=UNFIT)
async def test_retention_makes_no_seal_that_does_not_fit_the_trail(
    roles: Roles, values: str
) -> None:
    async with repository_of(roles.owner) as repository:
        await SessionManager(repository).start_session("s")
        await SessionManager(repository).end_session("s")
    digests = "'2:' || repeat('0', 64), repeat('0', 64), repeat('0', 16), now()"
    with pytest.raises(asyncpg.CheckViolationError, match="does not fit the trail"):
        await execute(roles.retention, f"SELECT {S}.seal_trail({values}, {digests})")


CHANGE = {
    "of no seal": {"seals": "2"},
    "of no event": {"counts": "0"},
    "without a digest": {"befores": "'x'"},
    "into no digest": {"afters": "'x'"},
    "without a signature": {"signatures": "'x'"},
}


@pytest.mark.parametrize("values", CHANGE.values(), ids=CHANGE)
async def test_retention_keeps_no_change_that_fits_no_seal(
    roles: Roles, keys: AuditKeys, values: dict[str, str]
) -> None:
    async with repository_of(roles.owner) as repository, Trail.opened(roles.retention) as trail:
        await SessionManager(repository).start_session("s")
        await seal(trail, keys)
    digest = "repeat('0', 64)"
    told = {"seals": "1", "uids": f"'{UUID(int=1)}'::uuid", "counts": "1", "befores": digest}
    told |= {"afters": digest, "signatures": digest} | values
    arrays = [f"{name} => ARRAY[{value}]" for name, value in told.items()]
    given = ", ".join([*arrays, "run => gen_random_uuid()", "key => repeat('0', 16)"])
    with pytest.raises(asyncpg.CheckViolationError, match="refused"):
        await execute(roles.retention, f"SELECT {S}.keep_changes({given})")


TOO_MUCH = (
    f"GRANT ALL ON ALL TABLES IN SCHEMA {S} TO {{}}",
    f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {S} TO {{}}",
    f"GRANT ALL ON ALL FUNCTIONS IN SCHEMA {S} TO {{}}",
    f"GRANT INSERT (event_id), UPDATE (actor) ON {S}.session_events TO {{}}",
    f"GRANT ALL ON SCHEMA {S} TO {{}}",
    f"ALTER DEFAULT PRIVILEGES IN SCHEMA {S} GRANT ALL ON TABLES TO {{}}",
)


async def test_grants_bring_down_roles_that_had_too_much(roles: Roles) -> None:
    database = make_url(roles.owner).database
    names = {name: f'{name} "of" {database}' for name in NAMES}
    quoted = ['"' + name.replace('"', '""') + '"' for name in names.values()]
    before = await privileges(roles.owner)
    everything = [grant.format(role) for role in (*quoted, "PUBLIC") for grant in TOO_MUCH]
    await execute(roles.owner, *everything, "SELECT 1")
    assert await privileges(roles.owner) != before

    for _ in range(2):
        await execute(roles.owner, *grants(S, **names), "SELECT 1")
        assert await privileges(roles.owner) == before
    await execute(roles.owner, f"CREATE TABLE {S}.later (x int)", "SELECT 1")
    await refused(roles.app, f"SELECT * FROM {S}.later", *CHANGES, *RETENTION, *FORGERIES)


async def privileges(url: str) -> list[tuple[object, ...]]:
    """Who may do what in the schema: all that there is about rights."""
    found = await execute(
        url,
        "SELECT 'schema', privilege_type, grantee::regrole::text FROM pg_namespace n, "
        f"aclexplode(nspacl) WHERE nspname = '{S}' "
        "UNION ALL SELECT relname, privilege_type, grantee::regrole::text FROM pg_class, "
        f"aclexplode(relacl) WHERE relnamespace = '{S}'::regnamespace "
        "UNION ALL SELECT relname || attname, privilege_type, grantee::regrole::text "
        "FROM pg_attribute JOIN pg_class c ON c.oid = attrelid, aclexplode(attacl) "
        f"WHERE relnamespace = '{S}'::regnamespace "
        "UNION ALL SELECT proname, privilege_type, grantee::regrole::text FROM pg_proc, "
        f"aclexplode(proacl) WHERE pronamespace = '{S}'::regnamespace "
        "ORDER BY 1, 2, 3",
    )
    return [tuple(row) for row in found if row[2] != "-" or row[1] != "EXECUTE"]


async def test_check_tells_what_everybody_may_do_after_a_restore_without_rights(
    roles: Roles,
) -> None:
    """A restore that leaves the rights out leaves new functions to PUBLIC, as PostgreSQL does."""
    target = Target(roles.owner)
    assert await migrate.check(target) == []
    functions = [f"prune_trail({PRUNE_NOW})", f"seal_trail({SEAL_ARGUMENTS})"]
    for function in functions:
        await execute(roles.owner, f"GRANT EXECUTE ON FUNCTION {S}.{function} TO PUBLIC")
    await execute(roles.owner, f"GRANT INSERT, DELETE ON {S}.session_events TO PUBLIC")

    found = await migrate.check(target)

    assert len(found) == 3
    remedies = [each.partition("take that away: ")[2].partition("; ")[0] for each in found]
    await execute(roles.owner, *remedies, "SELECT 1")
    assert await migrate.check(target) == []
    await execute(roles.owner, f"GRANT EXECUTE ON FUNCTION {S}.{functions[0]} TO PUBLIC")
    assert len(await migrate.check(target)) == 1
    database = make_url(roles.owner).database
    names = {name: f'{name} "of" {database}' for name in NAMES}
    await execute(roles.owner, *grants(S, **names), "SELECT 1")
    assert await migrate.check(target) == []


async def test_nobody_is_everybody_where_the_owner_alone_may_enter(postgres_url: str) -> None:
    for name, arguments in KEEPERS_FUNCTIONS.items():
        await execute(postgres_url, f"GRANT EXECUTE ON FUNCTION {S}.{name}({arguments}) TO PUBLIC")
    assert await migrate.check(Target(postgres_url)) == []


async def test_retention_does_not_prune_what_lives_or_is_young(roles: Roles) -> None:
    async with repository_of(roles.owner) as repository:
        await SessionManager(repository).start_session("live")
        await SessionManager(repository).start_session("young")
        await SessionManager(repository).end_session("young")
        for name, before in (("live", "now() + interval '1 day'"), ("young", "'2000-01-01'")):
            [event, *_] = await repository.list_events(name)
            [row] = await execute(
                roles.retention,
                f"SELECT {S}.prune_trail(gen_random_uuid(), {before}, ARRAY['{name}'], "
                f"ARRAY['{event.session_uid}'::uuid], 'me') AS removed",
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
            f"SELECT {S}.erase_events(gen_random_uuid(), ARRAY[2], {name}, ARRAY[NULL], "
            f"ARRAY[{actor}], ARRAY[NULL], 'me') AS changed",
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
