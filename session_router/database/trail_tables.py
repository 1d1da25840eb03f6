"""The tables of the audit trail: events, seals, what goes with these, verifications."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, MetaData, Table, Text, false

from session_router.database.columns import (
    index_of,
    key_text,
    number_column,
    numbered,
    numbered_event,
    text_in,
    time_column,
    uuid_column,
)
from session_router.database.types import UtcDateTime, clock
from session_router.events import EventName, SignalOutcome, StreamOutcome


def session_events(metadata: MetaData) -> Table:
    return Table(
        "session_events",
        metadata,
        *numbered_event(),
        Column("session_id", key_text(), nullable=False),
        uuid_column("session_uid"),
        Column("event", Text, nullable=False),
        Column("agent_type", key_text()),
        Column("agent_key", key_text()),
        uuid_column("stream_id", nullable=True),
        uuid_column("worker_id", nullable=True),
        uuid_column("request_id", nullable=True),
        time_column("started_at", nullable=True),
        Column("outcome", Text),
        Column("actor", Text),
        Column("detail", Text),
        # Whether the session's id, the agent's key, the actor and the detail are pseudonyms.
        Column("erased", Boolean, nullable=False, server_default=false()),
        text_in("event", EventName),
        CheckConstraint(_outcome_matches_event(), name="outcome"),
        # One session's story, page by page; the whole trail is read by primary key.
        Index(None, "session_id", "event_id"),
        # A stream begins once, whoever gave it its name.
        index_of(
            "session_events_started_streams_idx",
            "event = 'stream_started'",
            "stream_id",
            unique=True,
        ),
        # How many streams a life has had.
        index_of("session_events_streams_of_lives_idx", "event = 'stream_started'", "session_uid"),
        # Who asked for what in a life, and how often.
        index_of(
            "session_events_requests_of_lives_idx",
            "event IN ('interrupt_requested', 'session_ended', 'session_expired',"
            " 'session_replaced')",
            "session_uid",
            "event",
            "request_id",
        ),
        # Whose a life was.
        index_of(
            "session_events_owned_sessions_idx",
            "event = 'session_started' AND detail IS NOT NULL",
            "session_uid",
            "detail",
        ),
        # What became of one request.
        index_of(
            "session_events_requests_idx",
            "event IN ('interrupt_requested', 'signal_settled')",
            "request_id",
        ),
        # Reports bounded in time: what happened then, and what began then and is over.
        # With what is counted of an hour, so that no row is looked at.
        Index("session_events_activity_idx", "occurred_at", "event", "session_uid"),
        index_of(
            "session_events_ended_sessions_idx",
            "event IN ('session_ended', 'session_expired', 'session_replaced')",
            "started_at",
        ),
        # With the end, too: it tells what streamed at a moment without a look at the rows.
        index_of(
            "session_events_finished_streams_idx",
            "event = 'stream_finished'",
            "started_at",
            "occurred_at",
        ),
        # What ended on a day, with all that the report of agents tells of it.
        index_of(
            "session_events_agents_idx",
            "event = 'stream_finished'",
            "occurred_at",
            "agent_type",
            "started_at",
            "outcome",
            "session_uid",
        ),
        index_of("session_events_settled_signals_idx", "event = 'signal_settled'", "started_at"),
        # An event's number is never given twice, even after a prune of the newest rows.
        sqlite_autoincrement=True,
    )


def audit_seals(metadata: MetaData) -> Table:
    return Table(
        "audit_seals",
        metadata,
        number_column("seal_id", primary_key=True),
        number_column("first_event_id"),
        number_column("last_event_id"),
        number_column("events"),
        Column("digest", Text, nullable=False),
        Column("chain", Text, nullable=False),
        Column("key_id", Text, nullable=False),
        time_column("sealed_at"),
    )


def pruned_stories(metadata: MetaData) -> Table:
    """What is left of a pruned story, in each range that was sealed with it: its digest."""
    return Table(
        "pruned_stories",
        metadata,
        number_column("seal_id", primary_key=True),
        uuid_column("session_uid", primary_key=True),
        number_column("events"),
        Column("digest", Text, nullable=False),
        uuid_column("request_id"),
    )


def story_salts(metadata: MetaData) -> Table:
    """What each story's digests begin with, so that nothing in them can be guessed afterwards."""
    return Table(
        "story_salts",
        metadata,
        uuid_column("session_uid", primary_key=True),
        Column("salt", Text, nullable=False),
    )


def sealed_changes(metadata: MetaData) -> Table:
    """What stands for a story that was erased in a sealed range, or left it: signed digests."""
    return Table(
        "sealed_changes",
        metadata,
        numbered("change_id"),
        number_column("seal_id"),
        uuid_column("session_uid"),
        number_column("events"),
        Column("digest", Text, nullable=False),
        # None: the story is gone.
        Column("digest_after", Text),
        uuid_column("request_id"),
        Column("key_id", Text, nullable=False),
        Column("signature", Text, nullable=False),
        Index(None, "seal_id"),
        sqlite_autoincrement=True,
    )


def audit_verifications(metadata: MetaData) -> Table:
    """When the trail was verified, and what came of it."""
    return Table(
        "audit_verifications",
        metadata,
        numbered("verification_id"),
        Column("verified_at", UtcDateTime(), nullable=False, server_default=clock()),
        number_column("events"),
        # The newest sealed event of then; 0 where no seal was checked.
        number_column("sealed_until"),
        number_column("violations"),
        Column("actor", Text),
        sqlite_autoincrement=True,
    )


def _outcome_matches_event() -> str:
    """A finished stream has a stream's outcome, a settled signal a signal's, others none."""
    of_streams = ", ".join(f"'{outcome}'" for outcome in StreamOutcome)
    of_signals = ", ".join(f"'{outcome}'" for outcome in SignalOutcome)
    return (
        "CASE event"
        f" WHEN 'stream_finished' THEN outcome IS NOT NULL AND outcome IN ({of_streams})"
        f" WHEN 'signal_settled' THEN outcome IS NOT NULL AND outcome IN ({of_signals})"
        " ELSE outcome IS NULL END"
    )
