"""The audit trail in a form that tests can compare with a glance."""

from session_router import SessionEvent, SessionRepository

_ALL = 100_000


async def events(
    repository: SessionRepository, name: str | None = None, session_id: str | None = None
) -> list[SessionEvent]:
    """The whole trail, or one session id's; only events of that name, if one is given."""
    found = await repository.list_events(session_id, limit=_ALL)
    return [event for event in found if name in (None, event.event)]


async def story(repository: SessionRepository, session_id: str | None = None) -> list[str]:
    """The trail as lines: `stream_finished interrupted writer/a`."""
    return [_line(event) for event in await events(repository, session_id=session_id)]


async def settlements(repository: SessionRepository) -> dict[str, tuple[str, str | None]]:
    """What became of the signals: agent to (outcome, detail). For one signal an agent."""
    settled = await events(repository, "signal_settled")
    found = {str(e.agent_id): (str(e.outcome), e.detail) for e in settled}
    assert len(found) == len(settled), "an agent has more than one signal in this trail"
    return found


def _line(event: SessionEvent) -> str:
    return " ".join(str(part) for part in (event.event, event.outcome, event.agent_id) if part)
