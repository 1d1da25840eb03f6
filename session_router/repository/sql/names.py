"""The names of streams: used once, and known to a stop that comes before its stream.

A registration looks for the stop of its stream, and a stop for the stream, and each sees only what
has committed. Both at once would miss each other; and where the session does not live yet, there
is no row on which they could meet. So on PostgreSQL they meet on a lock of the name: a
registration that brings a name shares it, a stop has it alone. There are a few dozen such locks,
not one for each name, of which a batch would fill the server's table of locks. SQLite has one
writer.
"""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, and_, func, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.agent_id import AgentId
from session_router.database.schema import Tables
from session_router.repository.sql.events import lives_of

LOCK_CLASS: Final = 0x5E55_1011
"""The first key of the advisory locks on names; the second is one of `STRIPES`."""
STRIPES: Final = 64


async def share(conn: AsyncConnection, stream_id: UUID) -> None:
    """Let no stop of this name begin until the transaction ends; one under way is waited for."""
    if conn.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock_shared(LOCK_CLASS, stripe_of(stream_id))
        await conn.execute(select(lock))


async def hold(conn: AsyncConnection, stream_id: UUID) -> None:
    """Let no registration of this name begin; those under way are waited for."""
    if conn.dialect.name == "postgresql":
        await conn.execute(select(func.pg_advisory_xact_lock(LOCK_CLASS, stripe_of(stream_id))))


async def beginning_of(
    conn: AsyncConnection, t: Tables, stream_id: UUID, owner: str | None = None
) -> "Row[Any, Any, Any, Any] | None":
    """The event with which a stream of this name began, in whichever session."""
    statement = beginning(t, stream_id, owner)
    found: Row[Any, Any, Any, Any] | None = (await conn.execute(statement)).one_or_none()
    return found


def beginning(t: Tables, stream_id: UUID, owner: str | None = None) -> Select[Any]:
    events = t.session_events.c
    is_owners = and_(true(), *lives_of(t, events.session_uid, owner)).label("is_owners")
    # The event is named in the statement's text, by which the index of beginnings is found.
    return select(events.session_id, events.agent_type, events.agent_key, is_owners).where(
        text("event = 'stream_started'"), events.stream_id == stream_id
    )


def agent_of(beginning: "Row[Any, Any, Any, Any] | None", session_id: str) -> AgentId | None:
    """Whose stream it is, where it began in this session, and in a life of the owner's."""
    if beginning is None or beginning.session_id != session_id or not beginning.is_owners:
        return None
    return AgentId.stored(beginning.agent_type, beginning.agent_key)


def stripe_of(stream_id: UUID) -> int:
    """Which of the locks is this name's: by its last bits, which differ in every kind of UUID."""
    return stream_id.int % STRIPES
