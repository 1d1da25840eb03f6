"""Pruning and erasing pass the trigger, and forgeries do not, however the server is set up."""

import locale
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.audit.erasure import erase
from session_router.audit.keys import AuditKeys
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.database import migrate
from session_router.database.definitions.audit_0016 import PRUNE as PRUNE_STATEMENT
from session_router.database.definitions.audit_0016 import PRUNE_NOW
from session_router.database.migrate import Target
from tests.audit.test_retention import now
from tests.support.by_hand import execute

UID = "11111111-1111-1111-1111-111111111111"
PSEUDONYM = f"erased-{'0' * 64}"
LANGUAGES = "cs de el es fr it ja ka ko pl pt ru sv tr uk vi zh"  # those that PostgreSQL 15 speaks

SETTINGS = {
    "quoted names": "quote_all_identifiers = on",
    "the strictest checks": "plpgsql.extra_errors = 'all'",
    "backslashes": "standard_conforming_strings = off",
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
async def test_the_audit_works_in_a_database_that_is_set_up_otherwise(
    postgres_url: str, keys: AuditKeys, setting: str
) -> None:
    database = make_url(postgres_url).database
    await execute(postgres_url, f"ALTER DATABASE {database} SET {setting}", "SELECT 1")
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    async with SessionManager(repository) as manager:
        await manager.register_agent("chat", AgentId("writer", "ann"))
    async with Trail.opened(postgres_url) as trail:
        assert await seal(trail, keys)
        assert await erase(trail, "chat", keys) is not None
        assert (await prune(trail, now(), keys)).stories == 1
        assert (await verify(trail, keys)).violations == []
    await repository.close()


@pytest.mark.parametrize("setting", ["quote_all_identifiers = on", "plpgsql.extra_errors = 'all'"])
async def test_the_revision_runs_in_such_a_database(postgres_url: str, setting: str) -> None:
    database = make_url(postgres_url).database
    await execute(postgres_url, f"ALTER DATABASE {database} SET {setting}", "SELECT 1")
    await migrate.downgrade(Target(postgres_url), "0004")
    await migrate.upgrade(Target(postgres_url))


@pytest.fixture
async def session(postgres_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """One session of the owner's, in a trail with a story that is over."""
    plain = make_url(postgres_url).set(drivername="postgresql")
    connection = await asyncpg.connect(plain.render_as_string(hide_password=False))
    await connection.execute(
        "INSERT INTO session_router.session_events (session_id, session_uid, event) "
        f"VALUES ('chat', '{UID}', 'session_started'), ('chat', '{UID}', 'session_ended')"
    )
    yield connection
    await connection.close()


ERASE = (
    f"SELECT session_router.erase_events(gen_random_uuid(), '{{1,2}}', '{PSEUDONYM}', "
    "'{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}', 'me')"
)
PRUNE = (
    f"SELECT session_router.prune_trail(gen_random_uuid(), '2999-01-01', '{{{PSEUDONYM}}}', "
    f"'{{{UID}}}', 'me')"
)


async def test_a_setting_may_change_within_a_session(
    session: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    assert await session.fetchval(ERASE.replace("{1,2}", "{1}").replace("NULL,", "")) == 1
    await session.execute("SET quote_all_identifiers = on")
    assert await session.fetchval(ERASE.replace("{1,2}", "{2}").replace("NULL,", "")) == 1
    await session.execute("SET quote_all_identifiers = off")
    assert await session.fetchval(PRUNE) == 4


@pytest.mark.parametrize("language", LANGUAGES.split())
async def test_the_trigger_knows_its_callers_in_every_language(
    session: "asyncpg.Connection[asyncpg.Record]", language: str
) -> None:
    await speak(session, language)
    frame = await frame_of_the_prune(session)

    before = await session.fetch("SELECT * FROM session_router.session_events")
    # The end of our statement in this language, and a frame of ours as the rest of another's.
    forged = PRUNE_STATEMENT.format(s="session_router") + frame
    for end in ("", " */", '"'):
        block = "DECLARE session_uids uuid[]; session_ids text[]; before timestamptz"
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.PostgresSyntaxError)):
            await session.execute(f"DO $do$ {block}; BEGIN {forged}{end}\n; END $do$")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute(
                f"DO $do$ BEGIN DELETE FROM session_router.session_events /* {frame} */; END $do$"
            )
    assert await session.fetch("SELECT * FROM session_router.session_events") == before

    assert await session.fetchval(ERASE) == 2
    assert await session.fetchval(PRUNE) == 3


async def speak(session: "asyncpg.Connection[asyncpg.Record]", language: str) -> None:
    """Set the language of the server's messages, or skip where it has not got it."""
    known = [name for name in locale.locale_alias.values() if name.startswith(f"{language}_")]
    known = sorted({f"{name.partition('.')[0]}.utf8" for name in known})
    english = await frame_of_the_prune(session)
    for name in known:
        try:
            await session.execute(f"SET lc_messages = '{name}'")
        except asyncpg.PostgresError:
            continue
        if await frame_of_the_prune(session) != english:
            return
    pytest.skip("this server does not speak it; Debian's does, with locales-all")


async def frame_of_the_prune(session: "asyncpg.Connection[asyncpg.Record]") -> str:
    """What the server says behind a statement of the function's, and of the function."""
    statement, function = "SELECT session_router.call_stack()", "public.shown()"
    await session.execute(
        f"CREATE OR REPLACE FUNCTION {function} RETURNS text LANGUAGE plpgsql "
        f"SET search_path = pg_catalog AS $$\nDECLARE\n    told text;\nBEGIN\n    "
        f"{statement} INTO told; RETURN told; END $$"
    )
    told = await session.fetchval(f"SELECT {function}")
    behind: str = told.partition(statement)[2]
    return behind.replace(function, f"session_router.prune_trail({PRUNE_NOW})")
