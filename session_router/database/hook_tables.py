"""The tables of hooks: who is told of ends, and what each of them is still owed."""

from sqlalchemy import Boolean, Column, Index, Integer, MetaData, Table, Text

from session_router.database.columns import (
    index_of,
    key_text,
    number_column,
    numbered,
    time_column,
)


def hooks(metadata: MetaData) -> Table:
    return Table(
        "hooks",
        metadata,
        Column("hook_id", key_text(), primary_key=True),
        # None: a callback, which a program that has one of this name carries out.
        Column("url", Text),
        Column("secret", Text),
        # The trail's words, with blanks between them.
        Column("events", Text, nullable=False),
        Column("owner", key_text()),
        Column("allows_private", Boolean, nullable=False),
        time_column("created_at"),
    )


def hook_deliveries(metadata: MetaData) -> Table:
    """The outbox. What is delivered is deleted; what is given up stays, as dead."""
    return Table(
        "hook_deliveries",
        metadata,
        numbered("delivery_id"),
        # No foreign keys: whoever writes the trail would lock what they refer to.
        Column("hook_id", key_text(), nullable=False),
        number_column("event_id"),
        Column("session_id", key_text(), nullable=False),
        Column("attempts", Integer, nullable=False),
        # Not before this; while it is being delivered, when that is taken to have failed.
        time_column("due_at"),
        Column("last_error", Text),
        time_column("dead_at", nullable=True),
        # What is owed of one session, in order; an erasure looks for it, too.
        Index(None, "session_id", "hook_id", "delivery_id"),
        index_of("hook_deliveries_due_idx", "dead_at IS NULL", "hook_id", "due_at"),
        index_of("hook_deliveries_dead_idx", "dead_at IS NOT NULL", "delivery_id"),
        sqlite_autoincrement=True,
    )
