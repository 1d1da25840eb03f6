"""The tables, built for one schema."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    false,
    text,
)
from sqlalchemy.types import TypeEngine

from session_router.database.types import UtcDateTime, UuidText, clock
from session_router.events import EventName, KeyEvent, SignalAction, SignalOutcome, StreamOutcome
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
    interrupt_signals: Table
    early_stops: Table
    session_events: Table
    audit_seals: Table
    pruned_stories: Table
    api_keys: Table
    key_events: Table


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
        workers=_workers(metadata),
        interrupt_signals=_interrupt_signals(metadata),
        early_stops=_early_stops(metadata),
        session_events=_session_events(metadata),
        audit_seals=_audit_seals(metadata),
        pruned_stories=_pruned_stories(metadata),
        api_keys=_api_keys(metadata),
        key_events=_key_events(metadata),
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


def _key_text() -> TypeEngine[str]:
    """Text whose order is that of its code points, in every database and in Python.

    Locks are taken in key order, so the order must not depend on a server's locale.
    """
    return Text(collation="C").with_variant(Text(), "sqlite")


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, UtcDateTime(), nullable=nullable)


def _uuid(name: str, *, nullable: bool = False, primary_key: bool = False) -> Column[object]:
    return Column(name, UuidText(), nullable=nullable, primary_key=primary_key)


def _text_in(column: str, values: type[EventName | KeyEvent | SignalAction]) -> CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


def _sessions(metadata: MetaData) -> Table:
    return Table(
        "sessions",
        metadata,
        Column("session_id", _key_text(), primary_key=True),
        _uuid("session_uid"),
        _time("start_time"),
        _time("last_updated"),
        # The sweep reads the idlest first, each batch from where the last one ended.
        Index(None, "last_updated", "session_id"),
    )


def _agent_streams(metadata: MetaData) -> Table:
    return Table(
        "agent_streams",
        metadata,
        Column("session_id", _key_text(), primary_key=True),
        Column("agent_type", _key_text(), primary_key=True),
        Column("agent_key", _key_text(), primary_key=True),
        _uuid("stream_id"),
        _uuid("worker_id"),
        _time("started_at"),
        # NO ACTION: a session that still has streams cannot vanish, whoever forgets to end them.
        ForeignKeyConstraint(["session_id"], ["sessions.session_id"]),
        # A worker that stops, or is reaped, ends all of its streams.
        Index(None, "worker_id"),
    )


def _workers(metadata: MetaData) -> Table:
    return Table(
        "workers",
        metadata,
        _uuid("worker_id", primary_key=True),
        Column("host", Text, nullable=False),
        Column("pid", Integer, nullable=False),
        _time("started_at"),
        _time("heartbeat_at"),
    )


def _interrupt_signals(metadata: MetaData) -> Table:
    return Table(
        "interrupt_signals",
        metadata,
        _uuid("signal_id", primary_key=True),
        # No foreign key to workers: a signal outlives its worker until it is settled as lost.
        _uuid("worker_id"),
        _uuid("request_id"),
        Column("session_id", _key_text(), nullable=False),
        _uuid("session_uid"),
        Column("agent_type", _key_text(), nullable=False),
        Column("agent_key", _key_text(), nullable=False),
        _uuid("stream_id"),
        Column("action", Text, nullable=False),
        _time("requested_at"),
        _text_in("action", SignalAction),
        # A worker reads its own signals at every wake-up and poll, in the order of their making.
        Index(None, "worker_id", "requested_at"),
        # What is open yet of one request.
        Index(None, "request_id"),
    )


def _early_stops(metadata: MetaData) -> Table:
    return Table(
        "early_stops",
        metadata,
        _uuid("stream_id", primary_key=True),
        Column("session_id", _key_text(), nullable=False),
        _uuid("request_id"),
        _time("requested_at"),
        Column("actor", Text),
        Column("reason", Text),
        # The sweep clears the oldest, which nobody came for.
        Index(None, "requested_at"),
    )


def _session_events(metadata: MetaData) -> Table:
    return Table(
        "session_events",
        metadata,
        *_numbered_event(),
        Column("session_id", _key_text(), nullable=False),
        _uuid("session_uid"),
        Column("event", Text, nullable=False),
        Column("agent_type", _key_text()),
        Column("agent_key", _key_text()),
        _uuid("stream_id", nullable=True),
        _uuid("worker_id", nullable=True),
        _uuid("request_id", nullable=True),
        _time("started_at", nullable=True),
        Column("outcome", Text),
        Column("actor", Text),
        Column("detail", Text),
        # Whether the session's id, the agent's key, the actor and the detail are pseudonyms.
        Column("erased", Boolean, nullable=False, server_default=false()),
        _text_in("event", EventName),
        CheckConstraint(_outcome_matches_event(), name="outcome"),
        # One session's story, page by page; the whole trail is read by primary key.
        Index(None, "session_id", "event_id"),
        # A stream begins once, whoever gave it its name.
        _index_of(
            "session_events_started_streams_idx",
            "event = 'stream_started'",
            "stream_id",
            unique=True,
        ),
        # What became of one request.
        _index_of(
            "session_events_requests_idx",
            "event IN ('interrupt_requested', 'signal_settled')",
            "request_id",
        ),
        # Reports bounded in time: what happened then, and what began then and is over.
        Index(None, "occurred_at"),
        _index_of(
            "session_events_ended_sessions_idx",
            "event IN ('session_ended', 'session_expired', 'session_replaced')",
            "started_at",
        ),
        # With the end, too: it tells what streamed at a moment without a look at the rows.
        _index_of(
            "session_events_finished_streams_idx",
            "event = 'stream_finished'",
            "started_at",
            "occurred_at",
        ),
        _index_of("session_events_settled_signals_idx", "event = 'signal_settled'", "started_at"),
        # An event's number is never given twice, even after a prune of the newest rows.
        sqlite_autoincrement=True,
    )


def _audit_seals(metadata: MetaData) -> Table:
    return Table(
        "audit_seals",
        metadata,
        _number("seal_id", primary_key=True),
        _number("first_event_id"),
        _number("last_event_id"),
        _number("events"),
        Column("digest", Text, nullable=False),
        Column("chain", Text, nullable=False),
        Column("key_id", Text, nullable=False),
        _time("sealed_at"),
    )


def _pruned_stories(metadata: MetaData) -> Table:
    """What is left of a pruned story, in each range that was sealed with it: its digest."""
    return Table(
        "pruned_stories",
        metadata,
        _number("seal_id", primary_key=True),
        _uuid("session_uid", primary_key=True),
        _number("events"),
        Column("digest", Text, nullable=False),
        _uuid("request_id"),
    )


def _api_keys(metadata: MetaData) -> Table:
    return Table(
        "api_keys",
        metadata,
        Column("key_id", _key_text(), primary_key=True),
        *_of_a_key(),
        _time("created_at"),
        _time("revoked_at", nullable=True),
    )


def _key_events(metadata: MetaData) -> Table:
    """What happened to each key, and what the key was then: nobody changes that."""
    return Table(
        "key_events",
        metadata,
        *_numbered_event(),
        Column("event", Text, nullable=False),
        Column("key_id", _key_text(), nullable=False),
        *_of_a_key(),
        Column("actor", Text),
        _text_in("event", KeyEvent),
        # A key is made once, and revoked once.
        Index(None, "key_id", "event", unique=True),
        sqlite_autoincrement=True,
    )


def _of_a_key() -> list[Column[Any]]:
    return [
        Column("name", Text, nullable=False),
        Column("secret_hash", Text, nullable=False),
        Column("scopes", Text, nullable=False),
        _time("expires_at", nullable=True),
    ]


def _numbered_event() -> list[Column[Any]]:
    """The database's own number and time of an event."""
    number = BigInteger().with_variant(Integer(), "sqlite")
    return [
        Column("event_id", number, Identity(), primary_key=True),
        Column("occurred_at", UtcDateTime(), nullable=False, server_default=clock()),
    ]


def _number(name: str, *, primary_key: bool = False) -> Column[int]:
    number = BigInteger().with_variant(Integer(), "sqlite")
    return Column(name, number, primary_key=primary_key, nullable=False, autoincrement=False)


def _index_of(name: str, these: str, *columns: str, unique: bool = False) -> Index:
    """An index of those rows only that a condition holds for."""
    where = text(these)
    return Index(name, *columns, unique=unique, postgresql_where=where, sqlite_where=where)


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
