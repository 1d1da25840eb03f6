"""Requests that their callers named, and may repeat: each is carried out once.

Whether one was is decided in the transaction of its change. Two of the same name that come at once
meet on a lock of the name, which on PostgreSQL nobody waits for: the second is told that the first
is under way. It is taken before all other locks. SQLite has one writer.

What is kept of a request is its name, and a fingerprint that tells another request of the same
name. What it did is in the trail, so it is told again for as long as the trail has it.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.errors import RequestReusedError, RequestUnderWayError
from session_router.repository.records import REQUEST_LEASE
from session_router.repository.sql import rows

LOCK_CLASS: Final = 0x5E55_1012
"""The first key of the advisory locks on requests; the second is the end of the request's name."""


class Repeatable(Protocol):
    """A change that can be asked for under a name."""

    @property
    def once(self) -> bool: ...

    @property
    def request_id(self) -> UUID | None: ...

    @property
    def fingerprint(self) -> str: ...


Asked = TypeVar("Asked", bound=Repeatable)
Result = TypeVar("Result")
Operation = Callable[[AsyncConnection, Tables, Asked], Awaitable[Result]]


async def once(
    conn: AsyncConnection,
    t: Tables,
    asked: Asked,
    carry_out: Operation[Asked, Result],
    tell_again: Operation[Asked, Result],
) -> Result:
    """Carry out a change, or tell what it did where it was carried out before.

    A change that found nothing to do, and gives None, is not kept: it may be asked for again.

    Raises:
        RequestReusedError: another change was asked for under this name.
        RequestUnderWayError: it is being carried out.
    """
    request_id = asked.request_id
    if not asked.once or request_id is None:
        return await carry_out(conn, t, asked)
    if await _find(conn, t, request_id, asked.fingerprint) is not None:
        return await tell_again(conn, t, asked)
    did = await carry_out(conn, t, asked)
    if did is not None:
        await _keep(conn, t, request_id, asked.fingerprint, None)
    return did


async def begin(conn: AsyncConnection, t: Tables, request_id: UUID, fingerprint: str) -> bool:
    """Begin a request that takes many transactions, or go on with one that nobody renewed.

    Returns:
        Whether it is to be carried out; False: it was. Raises as `once`.
    """
    kept = await _find(conn, t, request_id, fingerprint)
    now = await rows.now(conn)
    if kept is None:
        await _keep(conn, t, request_id, fingerprint, now + REQUEST_LEASE)
        return True
    if kept.busy_until is None:
        return False
    if kept.busy_until > now:
        raise RequestUnderWayError.of(request_id)
    await advance(conn, t, request_id, is_over=False)
    return True


async def advance(conn: AsyncConnection, t: Tables, request_id: UUID, *, is_over: bool) -> None:
    """Say that a request that was begun goes on, or is done."""
    requests = t.idempotent_requests
    until = None if is_over else await rows.now(conn) + REQUEST_LEASE
    await conn.execute(
        update(requests).where(requests.c.request_id == request_id).values(busy_until=until)
    )


async def forget(
    conn: AsyncConnection, t: Tables, session_id: str, is_erased: ColumnElement[bool]
) -> None:
    """Forget the requests that the trail has events of in lives which are to be erased."""
    requests, events = t.idempotent_requests, t.session_events.c
    told = select(events.request_id).where(
        events.session_id == session_id, events.request_id.is_not(None), is_erased
    )
    await conn.execute(delete(requests).where(requests.c.request_id.in_(told)))


async def forget_older(conn: AsyncConnection, t: Tables, before: datetime) -> None:
    """Forget the requests that were made before."""
    requests = t.idempotent_requests
    await conn.execute(delete(requests).where(requests.c.requested_at < before))


def kept(t: Tables, request_id: UUID) -> Select[Any]:
    """What is kept of the request of that name."""
    return select(t.idempotent_requests).where(t.idempotent_requests.c.request_id == request_id)


async def _find(
    conn: AsyncConnection, t: Tables, request_id: UUID, fingerprint: str
) -> Row[Any] | None:
    """The request of that name, which is the caller's until the transaction ends."""
    if conn.dialect.name == "postgresql":
        lock = func.pg_try_advisory_xact_lock(LOCK_CLASS, _key_of(request_id))
        if not (await conn.execute(select(lock))).scalar_one():
            raise RequestUnderWayError.of(request_id)
    found: Row[Any] | None = (await conn.execute(kept(t, request_id))).one_or_none()
    if found is not None and found.fingerprint != fingerprint:
        raise RequestReusedError.of(request_id)
    return found


async def _keep(
    conn: AsyncConnection,
    t: Tables,
    request_id: UUID,
    fingerprint: str,
    busy_until: datetime | None,
) -> None:
    await conn.execute(
        insert(t.idempotent_requests).values(
            request_id=request_id,
            fingerprint=fingerprint,
            requested_at=await rows.now(conn),
            busy_until=busy_until,
        )
    )


def _key_of(request_id: UUID) -> int:
    return int.from_bytes(request_id.bytes[-4:], signed=True)
