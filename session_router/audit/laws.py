"""The conservation laws, asked of the database: one statement a law, whatever the trail's size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.events import SIGNALLED_OUTCOMES, EventName

SHOWN: Final = 20
"""How many violations of each law are listed."""

_SESSION_ENDS: Final = (
    EventName.SESSION_ENDED,
    EventName.SESSION_EXPIRED,
    EventName.SESSION_REPLACED,
)
_NONE: Final[ColumnElement[int]] = literal_column("0")
_ONE: Final[ColumnElement[int]] = literal_column("1")


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach.

    Attributes:
        law: which law: "law 1" to "law 3", "number", "time", "keys", "seal", "kept seal",
            "change", "pruning" or "erasure".
        subject: what kind of thing breaks it.
        id: which one.
        counts: what was found of it.
    """

    law: str
    subject: str
    id: str
    counts: dict[str, int | str]

    def __str__(self) -> str:
        found = ", ".join(f"{name} {value}" for name, value in self.counts.items())
        return f"{self.law}: {self.subject} {self.id}: {found}"


async def law_1(conn: AsyncConnection, t: Tables) -> list[Violation]:
    """Per stream: one start; then a live row or one end, never both, never neither."""
    event = t.session_events.c.event
    named = (EventName.STREAM_STARTED, EventName.STREAM_FINISHED)
    counted = union_all(
        select(
            t.session_events.c.stream_id.label("id"),
            _is(event == EventName.STREAM_STARTED).label("started"),
            _is(event == EventName.STREAM_FINISHED).label("finished"),
            _NONE.label("live"),
        ).where(event.in_(named)),
        select(t.agent_streams.c.stream_id, _NONE, _NONE, _ONE),
    )
    statement, (started, finished, live) = _summed(counted)
    broken = or_(started != 1, finished + live != 1)
    return await _violations(conn, "law 1", "stream", statement.having(broken))


async def law_2(conn: AsyncConnection, t: Tables) -> list[Violation]:
    """Per life of a session: one start; then a live row or one terminal event."""
    event = t.session_events.c.event
    counted = union_all(
        select(
            t.session_events.c.session_uid.label("id"),
            _is(event == EventName.SESSION_STARTED).label("started"),
            _is(event.in_(_SESSION_ENDS)).label("ended"),
            _NONE.label("live"),
        ).where(event != EventName.TRAIL_PRUNED),
        select(t.sessions.c.session_uid, _NONE, _NONE, _ONE),
    )
    statement, (started, ended, live) = _summed(counted)
    broken = or_(started != 1, ended + live != 1)
    return await _violations(conn, "law 2", "session", statement.having(broken))


async def law_3(conn: AsyncConnection, t: Tables) -> list[Violation]:
    """Per finished stream: a signal, open or settled, exactly where its outcome calls for one."""
    event, outcome = t.session_events.c.event, t.session_events.c.outcome
    named = (EventName.STREAM_FINISHED, EventName.SIGNAL_SETTLED)
    signalled = and_(event == EventName.STREAM_FINISHED, outcome.in_(sorted(SIGNALLED_OUTCOMES)))
    counted = union_all(
        select(
            t.session_events.c.stream_id.label("id"),
            _is(signalled).label("wanted"),
            _is(event == EventName.SIGNAL_SETTLED).label("settled"),
            _NONE.label("open"),
        ).where(event.in_(named)),
        select(t.interrupt_signals.c.stream_id, _NONE, _NONE, _ONE),
    )
    statement, (wanted, settled, open_) = _summed(counted)
    return await _violations(conn, "law 3", "stream", statement.having(settled + open_ != wanted))


def _is(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, _ONE), else_=_NONE)


def _summed(counted: CompoundSelect[Any]) -> tuple[Select[Any], Sequence[ColumnElement[int]]]:
    """The sums of all columns but the first, which is the id, for each id."""
    each = counted.subquery()
    sums = [func.sum(column).label(column.name) for column in each.c if column.name != "id"]
    return select(each.c.id, *sums).group_by(each.c.id), [label.element for label in sums]


async def _violations(
    conn: AsyncConnection, law: str, subject: str, statement: Select[Any]
) -> list[Violation]:
    statement = statement.order_by("id").limit(SHOWN)
    found = (await conn.execute(statement)).mappings()
    return [
        Violation(law, subject, str(row["id"]), {n: int(v) for n, v in row.items() if n != "id"})
        for row in found
    ]
