"""The audit trail's words, and one row of it."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationInfo, computed_field, field_validator

from session_router.agent_id import AgentId


class EventName(StrEnum):
    """What happened; the values of `session_events.event`."""

    SESSION_STARTED = "session_started"
    SESSION_ENDED = "session_ended"
    SESSION_EXPIRED = "session_expired"
    SESSION_REPLACED = "session_replaced"
    STREAM_STARTED = "stream_started"
    STREAM_FINISHED = "stream_finished"
    INTERRUPT_REQUESTED = "interrupt_requested"
    SIGNAL_SETTLED = "signal_settled"
    SESSION_ERASED = "session_erased"
    TRAIL_PRUNED = "trail_pruned"


class KeyEvent(StrEnum):
    """What happened to a key; the values of `key_events.event`."""

    CREATED = "key_created"
    REVOKED = "key_revoked"


class StreamOutcome(StrEnum):
    """How a stream ended; the values of `outcome` where the event is `stream_finished`."""

    COMPLETED = "completed"
    FAILED = "failed"
    ABANDONED = "abandoned"
    INTERRUPTED = "interrupted"
    SUPERSEDED = "superseded"
    SESSION_ENDED = "session_ended"
    SESSION_EXPIRED = "session_expired"
    SESSION_REPLACED = "session_replaced"
    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"


class SignalOutcome(StrEnum):
    """What became of a signal; the values of `outcome` where the event is `signal_settled`."""

    DELIVERED = "delivered"
    FAILED = "failed"
    LOST = "lost"


class WorkerEnding(StrEnum):
    """How a worker went; the values of `past_workers.how`."""

    STOPPED = "stopped"
    LOST = "lost"


class SignalAction(StrEnum):
    """What a signal orders a worker to do; the values of `interrupt_signals.action`."""

    CANCEL = "cancel"
    CANCEL_AND_REMOVE = "cancel_and_remove"


SIGNALLED_OUTCOMES = frozenset(
    {
        StreamOutcome.INTERRUPTED,
        StreamOutcome.SUPERSEDED,
        StreamOutcome.SESSION_ENDED,
        StreamOutcome.SESSION_EXPIRED,
        StreamOutcome.SESSION_REPLACED,
    }
)
"""The ends of a stream that its worker is told of by a signal; the others it made itself."""


class SessionEvent(BaseModel):
    """One row of the audit trail; the fields are the columns of `session_events`.

    In stream and signal events `worker_id` is the stream's owner, in session events who acted.
    `started_at` is set in terminal rows (of the session, the stream or the request), so that
    `occurred_at - started_at` is the duration.

    `session_erased` belongs to the life that was erased, and has its pseudonym for a `session_id`.
    `trail_pruned` belongs to no session: its `session_id` is empty, its `session_uid` nil.
    """

    model_config = ConfigDict(frozen=True)

    event_id: int
    occurred_at: datetime
    session_id: str
    session_uid: UUID
    event: EventName
    agent_type: str | None = None
    agent_key: str | None = None
    stream_id: UUID | None = None
    worker_id: UUID | None = None
    request_id: UUID | None = None
    started_at: datetime | None = None
    outcome: StreamOutcome | SignalOutcome | None = None
    actor: str | None = None
    detail: str | None = None

    @field_validator("outcome", mode="before")
    @classmethod
    def _outcome_of_the_event(cls, value: str | None, info: ValidationInfo) -> Any:
        """`failed` is a word of both vocabularies; the event tells which one is spoken."""
        if value is None:
            return None
        is_signal = info.data.get("event") is EventName.SIGNAL_SETTLED
        return SignalOutcome(value) if is_signal else StreamOutcome(value)

    @computed_field(  # type: ignore[prop-decorator]
        description="How long what ended here lasted; null where nothing ends."
    )
    @property
    def duration_sec(self) -> float | None:
        """How long the session, the stream or the request lasted that ends with this event."""
        if self.started_at is None:
            return None
        return (self.occurred_at - self.started_at).total_seconds()

    @property
    def agent_id(self) -> AgentId | None:
        """The agent that the event is about, if it is about one."""
        if self.agent_type is None or self.agent_key is None:
            return None
        return AgentId.stored(self.agent_type, self.agent_key)
