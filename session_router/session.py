"""Session: a snapshot of one conversation."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_serializer

from session_router.agent_id import AgentId, AgentIdLike
from session_router.checks import as_utc
from session_router.errors import InvalidSessionIdError, InvalidSettingError, InvalidValueError
from session_router.settings import TIMEOUT_LIMIT_MINUTES, check_positive
from session_router.text import check_name


def check_session_id(value: object) -> str:
    """Return a session id that is fit for use.

    Raises:
        InvalidSessionIdError: it is not 1 to 255 characters without NUL and lone surrogates.
    """
    return check_name(value, "session_id", InvalidSessionIdError)


def check_owner(value: str | None) -> str | None:
    """Return an owner that is fit for use, or None.

    Raises:
        InvalidValueError: it is not 1 to 255 characters without NUL and lone surrogates.
    """
    return None if value is None else check_name(value, "owner", InvalidValueError)


def check_timeout(minutes: float | None) -> float | None:
    """Return a session's own timeout, or None.

    Raises:
        InvalidValueError: it is not above zero, or too long to be reckoned with.
    """
    if minutes is None:
        return None
    try:
        return check_positive(minutes, "timeout_minutes", at_most=TIMEOUT_LIMIT_MINUTES)
    except InvalidSettingError as error:
        raise InvalidValueError(str(error)) from None


def _utc_now() -> datetime:
    return datetime.now(UTC)


UtcDatetime = Annotated[datetime, AfterValidator(as_utc)]


class Session(BaseModel):
    """A snapshot of one session; changing it changes nothing until `save_session`.

    Attributes:
        session_id: the caller's name for the conversation, 1 to 255 characters.
        start_time: when this life of the id began, aware UTC.
        last_updated: the last touch, aware UTC.
        agents_streaming: the agents that stream in it; in JSON sorted `type/key` strings.
        owner: whose it is, 1 to 255 characters; fixed for this life. None: nobody's in particular.
        timeout_minutes: how long it lives without a touch, above zero; None: as long as the workers
            let any session.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, json_schema_serialization_defaults_required=True
    )

    session_id: Annotated[str, AfterValidator(check_session_id)]
    start_time: UtcDatetime = Field(default_factory=_utc_now)
    last_updated: UtcDatetime = Field(default_factory=_utc_now)
    agents_streaming: set[AgentId] = Field(default_factory=set)
    owner: Annotated[str | None, AfterValidator(check_owner)] = None
    timeout_minutes: Annotated[float | None, AfterValidator(check_timeout)] = None

    def touch(self) -> None:
        """Set the snapshot's last use to this machine's present time."""
        self.last_updated = _utc_now()

    def mark_agent_streaming(self, agent_id: AgentIdLike) -> None:
        """Add an agent to those that stream in the snapshot."""
        self.agents_streaming.add(AgentId.of(agent_id))

    def unmark_agent_streaming(self, agent_id: AgentIdLike) -> None:
        """Take an agent from those that stream in the snapshot; one that does not is no error."""
        self.agents_streaming.discard(AgentId.of(agent_id))

    def end_session(self) -> None:
        """Mark the snapshot as complete: nobody streams in it any more, and it is touched."""
        self.agents_streaming.clear()
        self.touch()

    @field_serializer("agents_streaming", when_used="json")
    def _sorted_agents(self, agents: set[AgentId]) -> list[str]:
        return sorted(map(str, agents))


SESSION_COLUMNS: Final = tuple(name for name in Session.model_fields if name != "agents_streaming")
"""What a snapshot has of its session's row."""


class Columns(Protocol):
    """A row by the names of its columns, as a dictionary or a driver's record."""

    def keys(self) -> Iterable[str]: ...

    def __getitem__(self, name: str, /) -> Any: ...


def stored(row: Columns, agents: set[AgentId]) -> Session:
    """A snapshot of a row that has these columns, among others, with who streams in the session.

    As it is stored, unchecked: what was inserted by hand is shown, too.
    """
    return Session.model_construct(**row, agents_streaming=agents)


def to_store(session: Session) -> dict[str, Any]:
    """The columns of a snapshot that is to be stored."""
    return {name: getattr(session, name) for name in SESSION_COLUMNS}


def checked(session: Session) -> Session:
    """A copy of a snapshot that is fit to be stored, whatever was assigned to it.

    Raises:
        InvalidSessionIdError: its id is not acceptable.
        ValueError: another of its fields is not.
    """
    check_session_id(session.session_id)
    return Session.model_validate(dict(session))
