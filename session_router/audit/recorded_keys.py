"""Whether the keys are those that the record of keys tells of."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.laws import SHOWN, Violation
from session_router.database.schema import Tables
from session_router.events import KeyEvent

_OF_A_KEY: Final = ("name", "secret_hash", "scopes", "owner", "expires_at")


async def altered_keys(conn: AsyncConnection, t: Tables) -> list[Violation]:
    """Per key: made once, as it is now; revoked where the record says so; and still there.

    There are as many keys as somebody has made by hand, so they are compared here.
    """
    events = await conn.execute(select(t.key_events))
    told: dict[str, dict[str, dict[str, object]]] = {}
    for row in events:
        told.setdefault(row.key_id, {})[row.event] = dict(row._mapping)
    there = {row.key_id: dict(row._mapping) for row in await conn.execute(select(t.api_keys))}
    found = []
    for key_id in sorted({*told, *there}):
        fault = _fault(there.get(key_id), told.get(key_id, {}))
        if fault is not None:
            found.append(Violation("keys", "key", key_id, {"found": fault}))
    return found[:SHOWN]


def _fault(key: dict[str, object] | None, told: dict[str, dict[str, object]]) -> str | None:
    made, revoked = told.get(KeyEvent.CREATED), told.get(KeyEvent.REVOKED)
    if key is None:
        return "gone"
    if made is None:
        return "not recorded"
    if changed := [name for name in _OF_A_KEY if key[name] != made[name]]:
        return f"altered: {', '.join(changed)}"
    if key["created_at"] != made["occurred_at"]:
        return "altered: created_at"
    if key["revoked_at"] != (revoked and revoked["occurred_at"]):
        return "altered: revoked_at"
    return None
