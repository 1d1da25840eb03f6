"""What is due, and what was given up: the statements, for the store and for the tests of plans."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, exists, func, or_, select

from session_router.database.schema import Tables
from session_router.database.types import one_of


def hooks_due(t: Tables, now: datetime, callbacks: Sequence[str], *, urls: bool) -> Select[Any]:
    """Hooks for which something is due: the callbacks of these names, and where asked the URLs."""
    hooks, owed = t.hooks.c, t.hook_deliveries.c
    is_due = exists().where(
        owed.hook_id == hooks.hook_id, owed.dead_at.is_(None), owed.due_at <= now
    )
    whose = [one_of(hooks.hook_id, callbacks), *([hooks.url.is_not(None)] if urls else [])]
    return select(t.hooks).where(or_(*whose), is_due).order_by(hooks.created_at, hooks.hook_id)


def first_due(t: Tables, hook_id: str, now: datetime, limit: int) -> Select[Any]:
    """What is due of a hook where nothing is owed before it for the same session."""
    owed, before = t.hook_deliveries.c, t.hook_deliveries.alias("before").c
    # One look into the index for each; NOT EXISTS is planned as a join with all that is owed.
    first = (
        select(func.min(before.delivery_id))
        .where(before.session_id == owed.session_id, before.hook_id == owed.hook_id)
        .where(before.dead_at.is_(None))
        .scalar_subquery()
    )
    return (
        select(owed.delivery_id)
        .where(owed.hook_id == hook_id, owed.dead_at.is_(None), owed.due_at <= now)
        .where(owed.delivery_id == first)
        .order_by(owed.due_at)
        .limit(limit)
    )


def dead(t: Tables, after: int, limit: int) -> Select[Any]:
    """What was given up, in the order of delivery."""
    owed = t.hook_deliveries.c
    return (
        select(
            owed.delivery_id,
            owed.hook_id,
            owed.event_id,
            owed.session_id,
            owed.attempts,
            owed.last_error,
            owed.dead_at,
        )
        .where(owed.dead_at.is_not(None), owed.delivery_id > after)
        .order_by(owed.delivery_id)
        .limit(limit)
    )
