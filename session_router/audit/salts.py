"""Salts of stories: random, so that an erased name cannot be guessed from a digest that it was in.

A story's salt is made when it is sealed first, replaced when the story is erased, and removed when
it is pruned. Whoever may read the trail may read it. Were one lost or exchanged, the seals over
that story would not hold.
"""

import secrets
from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Insert, Text, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import UUID as UUID_
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.changes import array
from session_router.database.schema import Tables
from session_router.database.types import one_of, uuid_text
from session_router.errors import DatabaseError

_BYTES: Final = 16


async def known(conn: AsyncConnection, t: Tables, stories: Collection[str]) -> dict[str, str]:
    """The salts of stories that have one."""
    if not stories:
        return {}
    salt = t.story_salts.c
    statement = select(uuid_text(salt.session_uid), salt.salt)
    found = await conn.execute(statement.where(one_of(salt.session_uid, _uids(stories))))
    # SQLite keeps bytes there, too: no salt of ours.
    return {uid: salt for uid, salt in found if isinstance(salt, str)}


async def made(conn: AsyncConnection, t: Tables, stories: Collection[str]) -> dict[str, str]:
    """The salts of stories; those that have none get one."""
    found = await known(conn, t, stories)
    fresh = {uid: secrets.token_hex(_BYTES) for uid in stories if uid not in found}
    if fresh:
        await conn.execute(*_insert(conn, t, fresh))
    return found | fresh


async def replace(conn: AsyncConnection, t: Tables, stories: Collection[str]) -> None:
    """Give stories other salts, where they have any: those of before are gone."""
    fresh = [
        {"_uid": UUID(uid), "_salt": secrets.token_hex(_BYTES)}
        for uid in await known(conn, t, stories)
    ]
    if fresh:
        of_story = t.story_salts.c.session_uid == bindparam("_uid")
        await conn.execute(
            update(t.story_salts).where(of_story).values(salt=bindparam("_salt")), fresh
        )


async def remove(conn: AsyncConnection, t: Tables, stories: Collection[str]) -> None:
    """Remove the salts of stories that are gone."""
    of_stories = one_of(t.story_salts.c.session_uid, _uids(stories))
    await conn.execute(delete(t.story_salts).where(of_stories))


def _insert(conn: AsyncConnection, t: Tables, fresh: dict[str, str]) -> tuple[Insert, Any]:
    uids, values = _uids(fresh), list(fresh.values())
    if conn.dialect.name != "postgresql":
        rows = [{"session_uid": u, "salt": s} for u, s in zip(uids, values, strict=True)]
        return insert(t.story_salts), rows
    each = select(func.unnest(array(uids, UUID_())), func.unnest(array(values, Text())))
    return insert(t.story_salts).from_select(["session_uid", "salt"], each), None


def _uids(stories: Collection[str]) -> list[UUID]:
    try:
        return [UUID(uid) for uid in stories]
    except ValueError as error:  # SQLite keeps any text where a UUID belongs
        raise DatabaseError(f"the stories of the trail cannot be read: {error}.") from error
