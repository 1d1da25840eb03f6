"""Receipts of erasures: what they say, and whether it still holds."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, Select, TextClause, distinct, exists, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.keys import AuditKeys
from session_router.audit.laws import Violation
from session_router.audit.trail import Trail
from session_router.database.schema import Tables
from session_router.errors import InvalidSettingError, InvalidValueError
from session_router.events import EventName
from session_router.pseudonyms import ErasureKey

_IS_OWNED_START: Final = text("event = 'session_started' AND detail IS NOT NULL")
"""In the words of the index of owned sessions."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased.

    Attributes:
        session_id: as it was asked for.
        pseudonym: what stands for it in the trail now.
        request_id: names the erasure in its `session_erased` events.
        was_live: whether a live session was ended for it.
        lives: how many lives of the id were erased.
        events: how many events of theirs.
        signals: how many signals that are still to be settled.
    """

    session_id: str
    pseudonym: str
    request_id: UUID
    erased_at: datetime
    was_live: bool
    lives: int
    events: int
    signals: int


@dataclass(frozen=True, slots=True)
class OwnerReceipt:
    """What was erased of all that an owner ever had.

    Attributes:
        owner: as it was asked for.
        pseudonym: what stands for it in the trail now.
        request_id: names the erasure in the `session_erased` events of all its sessions.
        sessions: how many session ids.
        ended: how many live sessions were ended for it.
        lives, events, signals: as in `Receipt`, of all together.
    """

    owner: str
    pseudonym: str
    request_id: UUID
    erased_at: datetime
    sessions: int
    ended: int
    lives: int
    events: int
    signals: int


def read_receipt(path: Path) -> Receipt | OwnerReceipt:
    """A receipt that was kept in a file, as `sessions erase --json` wrote it.

    Raises:
        InvalidValueError: the file cannot be read, or holds anything else.
    """
    try:
        written = path.read_bytes()
        return TypeAdapter[Receipt | OwnerReceipt](Receipt | OwnerReceipt).validate_json(written)
    except OSError as error:
        raise InvalidValueError(f"the receipt in {str(path)!r} cannot be read: {error}.") from error
    except ValidationError as error:
        raise InvalidValueError(
            f"{str(path)!r} holds no receipt; give a file with what 'session-router sessions erase "
            "--json' has printed."
        ) from error


def key_of(receipt: Receipt | OwnerReceipt, keys: AuditKeys) -> ErasureKey:
    """The erasure key that an erasure was made with.

    Raises:
        InvalidSettingError: it is not among them.
    """
    for key in keys.erasure_keys:
        if key.pseudonym(_name(receipt)) == receipt.pseudonym:
            return key
    raise InvalidSettingError(
        "the receipt was not made with the key in SESSION_ROUTER_ERASURE_KEY, which is "
        f"{keys.pseudonyms.key_id}, nor with one of SESSION_ROUTER_FORMER_ERASURE_KEYS; set the "
        "one that the erasure was made with."
    )


async def broken_receipt(
    trail: Trail, receipt: Receipt | OwnerReceipt, keys: AuditKeys
) -> list[Violation]:
    """What of a receipt does not hold: names that came back, and records that are gone.

    Records may be fewer where the trail was pruned since.

    Raises:
        InvalidSettingError: the erasure was made with another key than those given.
        DatabaseError: the database failed it.
    """
    if keys.erasure_keys:
        key_of(receipt, keys)
    t = trail.tables
    async with trail.snapshot() as conn:
        named = (await conn.execute(_named(t, receipt))).scalar_one()
        recorded = (await conn.execute(_recorded(t, receipt))).scalar_one()
        may_be_fewer = recorded < receipt.lives and await _is_pruned(conn, t)
    faults: list[dict[str, int | str]] = []
    if named:
        faults.append({"lives that are named again": named})
    if recorded != receipt.lives and not may_be_fewer:
        faults.append({"lives erased": receipt.lives, "recorded": recorded})
    return [Violation("receipt", "request", str(receipt.request_id), each) for each in faults]


def beginnings(
    t: Tables, owner: str | None, before: datetime | None
) -> list[ColumnElement[bool] | TextClause]:
    """Where lives begin that still have their names: an owner's, and before a time, if given."""
    started = t.session_events.c
    found: list[ColumnElement[bool] | TextClause] = [started.event == EventName.SESSION_STARTED]
    if owner is not None:
        found += [_IS_OWNED_START, started.detail == owner]
    if before is not None:
        found.append(started.occurred_at < before)
    return found


def _named(t: Tables, receipt: Receipt | OwnerReceipt) -> Select[Any]:
    started = t.session_events.c
    lives = select(func.count(distinct(started.session_uid)))
    if isinstance(receipt, OwnerReceipt):
        return lives.where(*beginnings(t, receipt.owner, receipt.erased_at))
    return lives.where(
        started.session_id == receipt.session_id, *beginnings(t, None, receipt.erased_at)
    )


def _recorded(t: Tables, receipt: Receipt | OwnerReceipt) -> Select[Any]:
    event = t.session_events.c
    found = select(func.count(distinct(event.session_uid))).where(
        event.request_id == receipt.request_id, event.event == EventName.SESSION_ERASED
    )
    if isinstance(receipt, Receipt):
        return found.where(event.session_id == receipt.pseudonym)
    return found


async def _is_pruned(conn: AsyncConnection, t: Tables) -> bool:
    event = t.session_events.c
    pruned = exists().where(event.session_id == "", event.event == EventName.TRAIL_PRUNED)
    return bool((await conn.execute(select(pruned))).scalar_one())


def _name(receipt: Receipt | OwnerReceipt) -> str:
    return receipt.session_id if isinstance(receipt, Receipt) else receipt.owner
