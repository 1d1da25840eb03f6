"""The tables of workers: those that have a lease, and those that were."""

from sqlalchemy import Column, Index, Integer, MetaData, Table, Text

from session_router.database.columns import key_text, text_in, time_column, uuid_column
from session_router.events import WorkerEnding


def workers(metadata: MetaData) -> Table:
    return Table(
        "workers",
        metadata,
        uuid_column("worker_id", primary_key=True),
        Column("host", Text, nullable=False),
        Column("pid", Integer, nullable=False),
        time_column("started_at"),
        time_column("heartbeat_at"),
        # Whose key entered it over HTTP; none, where it is a process on this database.
        Column("key_id", key_text()),
        # How it learns of its signals: listening, polling, or from the service; none: not told yet.
        Column("wake_ups", Text),
        # Of this package; none: a remote worker, or one of a release that did not tell.
        Column("version", Text),
        # Noted in the transaction that deletes the row.
        Column("ending", Text),
    )


def past_workers(metadata: MetaData) -> Table:
    """The workers that are gone; a trigger on `workers` writes it, and nothing else."""
    return Table(
        "past_workers",
        metadata,
        uuid_column("worker_id", primary_key=True),
        Column("host", Text, nullable=False),
        Column("pid", Integer, nullable=False),
        Column("version", Text),
        time_column("started_at"),
        time_column("ended_at"),
        Column("how", Text, nullable=False),
        text_in("how", WorkerEnding),
        # Reports are bounded by the one, prunings by the other.
        Index(None, "started_at"),
        Index(None, "ended_at"),
    )
