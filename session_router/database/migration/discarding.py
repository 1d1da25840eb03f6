"""What a downgrade below the audit's tables would destroy without a word: seals and records.

The records of erasures and prunings cannot stay below, where no such event may be. Where the loss
is meant, a story of events that every revision knows tells of it: a session that begins and ends,
and whose reason says what was lost. So the laws hold, and the trail shows it.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, func, insert, inspect, select

from session_router.database.schema import build_tables
from session_router.database.types import clock
from session_router.errors import InvalidValueError
from session_router.events import EventName

FIRST_WITH_AUDIT: Final = "0003"

STORY: Final = "audit-discarded"
"""The session id under which the trail tells of it."""

_RECORDS: Final = {"erasures": EventName.SESSION_ERASED, "prunings": EventName.TRAIL_PRUNED}
_TABLES: Final = {"seals": "audit_seals", "digests of pruned stories": "pruned_stories"}


@dataclass(frozen=True)
class Discarded:
    """What is lost, since when, and who wanted it so."""

    counts: dict[str, int]
    at: datetime
    actor: str | None


def recorded(conn: Connection, schema: str | None) -> dict[str, int]:
    """How many seals, digests and records there are; empty where there is nothing to lose."""
    t = build_tables(schema)
    inspector = inspect(conn)
    counts = {}
    if inspector.has_table(t.session_events.name, schema=schema):
        for name, event in _RECORDS.items():
            counted = select(func.count()).where(t.session_events.c.event == event)
            counts[name] = conn.execute(counted).scalar_one()
    for name, table in _TABLES.items():
        if inspector.has_table(table, schema=schema):
            counted = select(func.count()).select_from(getattr(t, table))
            counts[name] = conn.execute(counted).scalar_one()
    return {name: count for name, count in counts.items() if count}


def agreed(
    conn: Connection, schema: str | None, *, is_meant: bool, actor: str | None
) -> Discarded | None:
    """What a downgrade below the audit is about to discard; None where that is nothing.

    Raises:
        InvalidValueError: it is not meant.
    """
    counts = recorded(conn, schema)
    at = conn.execute(select(clock())).scalar_one()
    conn.rollback()
    if not counts:
        return None
    if not is_meant:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise InvalidValueError(
            f"below revision {FIRST_WITH_AUDIT} there is no audit, so these would be lost: {told}; "
            "nothing was done. Say --discard-audit if that is meant."
        )
    return Discarded(counts, at, actor)


def tell(ctx: MigrationContext, step: MigrationInfo, discarded: Discarded | None) -> None:
    """Write the story, in the transaction that takes the audit's tables away."""
    if discarded is None or step.is_upgrade or FIRST_WITH_AUDIT not in step.source_revision_ids:
        return
    events = build_tables(ctx.version_table_schema).session_events
    of_story = {"session_id": STORY, "session_uid": uuid4(), "occurred_at": discarded.at}
    ctx.execute(insert(events).values(of_story | {"event": EventName.SESSION_STARTED}))
    ended = {
        "event": EventName.SESSION_ENDED,
        "started_at": discarded.at,
        "actor": discarded.actor,
        "detail": json.dumps({"audit discarded": discarded.counts}),
    }
    ctx.execute(insert(events).values(of_story | ended))


def guard(dialect: str, schema: str | None) -> list[str]:
    """SQL that fails where something would be lost, for a person to run before the rest."""
    prefix = f"{schema}." if schema else ""
    events = ", ".join(f"'{event}'" for event in _RECORDS.values())
    sources = [f"{prefix}{table}" for table in _TABLES.values()]
    sources.append(f"{prefix}session_events WHERE event IN ({events})")
    found = " OR ".join(f"EXISTS (SELECT 1 FROM {source})" for source in sources)  # noqa: S608 - our names
    refusal = "seals, erasures or prunings are recorded and would be lost; see db downgrade"
    if dialect == "sqlite":
        return [
            f'CREATE TEMP TABLE guard (found INTEGER CONSTRAINT "{refusal}" CHECK (NOT found))',
            f"INSERT INTO temp.guard SELECT {found}",
            "DROP TABLE temp.guard",
        ]
    return [f"DO $$ BEGIN IF {found} THEN RAISE EXCEPTION '{refusal}'; END IF; END $$"]
