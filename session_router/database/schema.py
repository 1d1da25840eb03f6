"""The tables, built for one schema."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
    Text,
    column,
)

from session_router.database.columns import (
    index_of,
    key_text,
    numbered_event,
    text_in,
    time_column,
    uuid_column,
)
from session_router.database.hook_tables import hook_deliveries, hooks
from session_router.database.trail_tables import (
    audit_seals,
    audit_verifications,
    pruned_stories,
    sealed_changes,
    session_events,
    story_salts,
)
from session_router.database.types import expiry
from session_router.database.worker_tables import past_workers, workers
from session_router.events import KeyEvent, SignalAction
from session_router.schema_name import check_schema

VERSION_TABLE: Final = "session_router_version"
OLDEST_CODE_TABLE: Final = "session_router_oldest_code"
SCRATCH: Final = "pg_temp"

_CONVENTION: Final = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
}


@dataclass(frozen=True)
class Tables:
    """The tables of one schema, and the metadata that holds them."""

    metadata: MetaData
    sessions: Table
    agent_streams: Table
    workers: Table
    past_workers: Table
    interrupt_signals: Table
    early_stops: Table
    idempotent_requests: Table
    session_events: Table
    audit_seals: Table
    audit_verifications: Table
    pruned_stories: Table
    story_salts: Table
    sealed_changes: Table
    api_keys: Table
    key_events: Table
    hooks: Table
    hook_deliveries: Table


@cache
def build_tables(schema: str | None) -> Tables:
    """Build the tables for `schema`; None where the database has no schemas (SQLite).

    A host application's own `sessions` table is never touched: every statement names ours in
    full, so neither a search_path nor a translation of names is needed.

    Raises:
        InvalidSettingError: the schema cannot be called so.
    """
    return _build(schema if schema is None else check_schema(schema))


def build_scratch_tables() -> Tables:
    """Build the tables for PostgreSQL's schema of temporary tables, where nobody else sees them."""
    return _build(SCRATCH)


def _build(schema: str | None) -> Tables:
    metadata = MetaData(schema=schema, naming_convention=_CONVENTION)
    return Tables(
        metadata=metadata,
        sessions=_sessions(metadata),
        agent_streams=_agent_streams(metadata),
        workers=workers(metadata),
        past_workers=past_workers(metadata),
        interrupt_signals=_interrupt_signals(metadata),
        early_stops=_early_stops(metadata),
        idempotent_requests=_idempotent_requests(metadata),
        session_events=session_events(metadata),
        audit_seals=audit_seals(metadata),
        audit_verifications=audit_verifications(metadata),
        pruned_stories=pruned_stories(metadata),
        story_salts=story_salts(metadata),
        sealed_changes=sealed_changes(metadata),
        api_keys=_api_keys(metadata),
        key_events=_key_events(metadata),
        hooks=hooks(metadata),
        hook_deliveries=hook_deliveries(metadata),
    )


@cache
def oldest_code_table(schema: str | None) -> Table:
    """The row beside the version: the revision that code must know to run on this database.

    Migrations write it with each revision. Code that meets a revision which it does not know
    reads it, so that a worker can start again while newer ones are being rolled out.
    """
    return Table(
        OLDEST_CODE_TABLE,
        MetaData(schema=schema, naming_convention=_CONVENTION),
        Column("revision", Text, primary_key=True),
    )


def _sessions(metadata: MetaData) -> Table:
    return Table(
        "sessions",
        metadata,
        Column("session_id", key_text(), primary_key=True),
        uuid_column("session_uid"),
        time_column("start_time"),
        time_column("last_updated"),
        Column("owner", key_text()),
        Column("timeout_minutes", Double),
        # The sweep reads the idlest first, each batch from where the last one ended; those with a
        # timeout of their own apart, so that neither are in the others' way.
        index_of("sessions_idle_idx", "timeout_minutes IS NULL", "last_updated", "session_id"),
        index_of(
            "sessions_own_timeouts_idx",
            "timeout_minutes IS NOT NULL",
            expiry(column("last_updated"), column("timeout_minutes")),
            "session_id",
        ),
        index_of(
            "sessions_idle_with_own_timeouts_idx", "timeout_minutes IS NOT NULL", "last_updated"
        ),
        # An owner's sessions, page by page.
        index_of("sessions_owners_idx", "owner IS NOT NULL", "owner", "session_id"),
    )


def _agent_streams(metadata: MetaData) -> Table:
    return Table(
        "agent_streams",
        metadata,
        Column("session_id", key_text(), primary_key=True),
        Column("agent_type", key_text(), primary_key=True),
        Column("agent_key", key_text(), primary_key=True),
        uuid_column("stream_id"),
        uuid_column("worker_id"),
        time_column("started_at"),
        # The context of its span, as W3C Trace Context has it, where its worker is traced.
        Column("traceparent", Text),
        # NO ACTION: a session that still has streams cannot vanish, whoever forgets to end them.
        ForeignKeyConstraint(["session_id"], ["sessions.session_id"]),
        # A worker that stops, or is reaped, ends all of its streams.
        Index(None, "worker_id"),
    )


def _interrupt_signals(metadata: MetaData) -> Table:
    return Table(
        "interrupt_signals",
        metadata,
        uuid_column("signal_id", primary_key=True),
        # No foreign key to workers: a signal outlives its worker until it is settled as lost.
        uuid_column("worker_id"),
        uuid_column("request_id"),
        Column("session_id", key_text(), nullable=False),
        uuid_column("session_uid"),
        Column("agent_type", key_text(), nullable=False),
        Column("agent_key", key_text(), nullable=False),
        uuid_column("stream_id"),
        Column("action", Text, nullable=False),
        time_column("requested_at"),
        text_in("action", SignalAction),
        # A worker reads its own signals at every wake-up and poll, in the order of their making.
        Index(None, "worker_id", "requested_at"),
        # What is open yet of one request.
        Index(None, "request_id"),
    )


def _early_stops(metadata: MetaData) -> Table:
    return Table(
        "early_stops",
        metadata,
        uuid_column("stream_id", primary_key=True),
        # Empty: a stop for whomever the session is of. An owner's own hits nobody else's stream.
        Column("owner", key_text(), primary_key=True, server_default=""),
        Column("session_id", key_text(), nullable=False),
        uuid_column("request_id"),
        time_column("requested_at"),
        Column("actor", Text),
        Column("reason", Text),
        # The sweep clears the oldest, which nobody came for.
        Index(None, "requested_at"),
    )


def _idempotent_requests(metadata: MetaData) -> Table:
    """The requests whose callers named them, and may repeat them."""
    return Table(
        "idempotent_requests",
        metadata,
        uuid_column("request_id", primary_key=True),
        Column("fingerprint", Text, nullable=False),
        time_column("requested_at"),
        # Of one that takes many transactions: until when it is taken to be under way; none: done.
        time_column("busy_until", nullable=True),
    )


def _api_keys(metadata: MetaData) -> Table:
    return Table(
        "api_keys",
        metadata,
        Column("key_id", key_text(), primary_key=True),
        *_of_a_key(),
        time_column("created_at"),
        time_column("revoked_at", nullable=True),
    )


def _key_events(metadata: MetaData) -> Table:
    """What happened to each key, and what the key was then: nobody changes that."""
    return Table(
        "key_events",
        metadata,
        *numbered_event(),
        Column("event", Text, nullable=False),
        Column("key_id", key_text(), nullable=False),
        *_of_a_key(),
        Column("actor", Text),
        text_in("event", KeyEvent),
        # A key is made once, and revoked once.
        Index(None, "key_id", "event", unique=True),
        sqlite_autoincrement=True,
    )


def _of_a_key() -> list[Column[Any]]:
    return [
        Column("name", Text, nullable=False),
        Column("secret_hash", Text, nullable=False),
        Column("scopes", Text, nullable=False),
        Column("owner", key_text()),
        time_column("expires_at", nullable=True),
    ]
