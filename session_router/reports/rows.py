"""One row of each report: the fields are the columns, in their order, with their units."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


def _told(meaning: str) -> object:
    return Field(description=meaning)


SessionId = Annotated[str, _told("the caller's id of the session")]
SessionUid = Annotated[UUID, _told("one life of that id")]
AgentType = Annotated[str, _told("the agent's type")]
AgentKey = Annotated[str, _told("the agent's key")]
StreamId = Annotated[UUID, _told("the stream")]
Owner = Annotated[str | None, _told("whose the sessions are; empty: nobody's in particular")]
WorkerId = Annotated[UUID, _told("the worker in which it streams or streamed")]
Count = int
Share = float


class ReportRow(BaseModel):
    """A row that was read; nothing to change."""

    model_config = ConfigDict(frozen=True)


class SessionLife(ReportRow):
    """Every session there ever was: ended ones from the audit trail, live ones as they stand."""

    session_id: SessionId
    session_uid: SessionUid
    started_at: Annotated[datetime, _told("when it began")]
    ended_at: Annotated[datetime | None, _told("when it ended; empty: it lives")]
    ending: Annotated[str | None, _told("`ended`, `expired` or `replaced`; empty: it lives")]
    duration_sec: Annotated[float | None, _told("seconds from its beginning to its end")]
    streams: Annotated[Count, _told("how many streams began in it")]
    interrupts: Annotated[Count, _told("how many interrupts were requested in it")]
    actor: Annotated[str | None, _told("who ended it, where that was said")]
    reason: Annotated[str | None, _told("why, where that was said")]
    owner: Annotated[str | None, _told("whose it is; empty: nobody's in particular")]


class StreamSpan(ReportRow):
    """Every stream there ever was, those that stream now included."""

    session_id: SessionId
    session_uid: SessionUid
    agent_type: AgentType
    agent_key: AgentKey
    stream_id: StreamId
    worker_id: WorkerId
    started_at: Annotated[datetime, _told("when it began")]
    ended_at: Annotated[datetime | None, _told("when it ended; empty: it streams")]
    outcome: Annotated[str | None, _told("how it ended; empty: it streams")]
    duration_sec: Annotated[float | None, _told("seconds from its beginning to its end")]
    detail: Annotated[str | None, _told("why, where that was said, as of one that failed")]
    worker_host: Annotated[
        str | None, _told("where the worker runs or ran; empty: not known any more")
    ]
    worker_version: Annotated[
        str | None, _told("the worker's version of session_router; empty: not known")
    ]


class InterruptSignal(ReportRow):
    """Every order to a worker to stop one stream, and what became of it."""

    session_id: SessionId
    session_uid: SessionUid
    agent_type: AgentType
    agent_key: AgentKey
    stream_id: StreamId
    worker_id: Annotated[UUID, _told("the worker that was to stop it")]
    request_id: Annotated[UUID, _told("the call that asked; it may have stopped more streams")]
    requested_at: Annotated[datetime, _told("when it was asked for")]
    settled_at: Annotated[datetime | None, _told("when it was settled; empty: not yet")]
    cause: Annotated[
        str | None,
        _told("how the stream ended: `interrupted`, `superseded`, or with its session"),
    ]
    actor: Annotated[str | None, _told("who asked, where that was said")]
    outcome: Annotated[str | None, _told("`delivered`, `failed` or `lost`; empty: not yet")]
    detail: Annotated[str | None, _told("why it was not delivered")]
    latency_sec: Annotated[float | None, _told("seconds from the request to the settling")]


class AgentDay(ReportRow):
    """The streams of one type of agent, in the sessions of one owner, that ended on one day.

    Percentiles are the nearest rank: a length that did occur. On PostgreSQL a day is a `date`, on
    SQLite text such as `2026-06-29`: nobody's time zone changes it.
    """

    agent_type: AgentType
    day: Annotated[date, _told("the UTC day")]
    streams: Annotated[Count, _told("how many ended")]
    median_sec: Annotated[float, _told("median of their lengths in seconds")]
    p95_sec: Annotated[float, _told("95th percentile of their lengths in seconds")]
    completed_share: Annotated[Share, _told("share of the outcome `completed`, 0 to 1")]
    failed_share: Annotated[Share, _told("share of `failed`")]
    abandoned_share: Annotated[Share, _told("share of `abandoned`")]
    interrupted_share: Annotated[Share, _told("share of `interrupted`")]
    superseded_share: Annotated[Share, _told("share of `superseded`")]
    session_ended_share: Annotated[Share, _told("share of `session_ended`")]
    session_expired_share: Annotated[Share, _told("share of `session_expired`")]
    session_replaced_share: Annotated[Share, _told("share of `session_replaced`")]
    worker_lost_share: Annotated[Share, _told("share of `worker_lost`")]
    worker_stopped_share: Annotated[Share, _told("share of `worker_stopped`")]
    owner: Owner


class ActivityHour(ReportRow):
    """What happened in one hour in the sessions of one owner; every hour from the first event on.

    Up to the last one's; an hour in which nothing happened has one row.
    """

    hour: Annotated[datetime, _told("the beginning of the UTC hour")]
    sessions_started: Annotated[Count, _told("sessions that began")]
    sessions_ended: Annotated[Count, _told("sessions that somebody ended")]
    sessions_expired: Annotated[Count, _told("sessions that were idle for too long")]
    sessions_replaced: Annotated[Count, _told("sessions that a fresh one took the id of")]
    streams_started: Annotated[Count, _told("streams that began")]
    streams_finished: Annotated[Count, _told("streams that ended")]
    interrupts: Annotated[Count, _told("interrupts requested, also of nothing")]
    owner: Owner


class WorkerSpan(ReportRow):
    """Every worker, also when it is gone: each start of a process is a worker of its own.

    Those that were gone before a time are forgotten by `session-router audit prune --before` it. An
    erasure leaves them as they are: names of hosts are no personal data. How a worker of 0.1.0 went
    is told by the age of its last heartbeat: `lost` from 15 s on.
    """

    worker_id: Annotated[UUID, _told("the worker")]
    host: Annotated[str, _told("where it runs or ran")]
    pid: Annotated[int, _told("its process id there")]
    version: Annotated[
        str | None,
        _told("its version of session_router; empty: a remote worker, or one before 0.2.0"),
    ]
    started_at: Annotated[datetime, _told("when it began")]
    ended_at: Annotated[datetime | None, _told("when it was taken out; empty: it lives")]
    how: Annotated[
        str | None,
        _told("`stopped` by itself, or `lost` and reaped by another one; empty: it lives"),
    ]


class LiveNow(ReportRow):
    """What there is at this moment; one row."""

    read_at: Annotated[datetime, _told("this moment, by the database's clock")]
    sessions: Annotated[Count, _told("live sessions")]
    sessions_streaming: Annotated[Count, _told("those in which an agent streams")]
    streams: Annotated[Count, _told("streams")]
    workers: Annotated[Count, _told("workers, those included that died a moment ago")]
    oldest_session_at: Annotated[datetime | None, _told("when the oldest live session began")]
    oldest_stream_at: Annotated[datetime | None, _told("when the oldest of the streams began")]


class Backlog(ReportRow):
    """What waits for a sweep or a worker.

    A view cannot know the session timeout, so it counts the sessions that were idle for longer
    than each of several times. Read the row of your timeout; the default is 1,800 s. That row is
    about 0 where sweeps keep up.
    """

    kind: Annotated[str, _told("`idle_sessions` or `unsettled_signals`")]
    over_sec: Annotated[Count, _told("counted are those that wait longer than so many seconds")]
    items: Annotated[Count, _told("how many")]
    oldest_at: Annotated[datetime | None, _told("since when the oldest of them waits")]
    oldest_sec: Annotated[float | None, _told("for how many seconds it has waited")]


class ConcurrencyBucket(ReportRow):
    """How many streams there were at once in one stretch of time."""

    begins_at: Annotated[datetime, _told("where the stretch begins")]
    seconds: Annotated[float, _told("how long it is, in seconds")]
    peak: Annotated[Count, _told("the most streams at once")]
    mean: Annotated[float, _told("streams on the average over the time")]
