"""The options by which `session-router report streams` is told which streams are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from session_router.cli.near import one_of
from session_router.cli.words import STREAM_OUTCOMES, completed
from session_router.errors import InvalidValueError

if TYPE_CHECKING:
    from session_router.reports.filters import StreamFilter

Outcome = Annotated[
    str | None,
    typer.Option(
        metavar="OUTCOME",
        help="Of 'streams': only those that ended so, such as failed or worker_lost.",
        show_default=False,
        autocompletion=completed(STREAM_OUTCOMES),
    ),
]
Agent = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE[/KEY]", help="Of 'streams': only of these agents.", show_default=False
    ),
]
InSession = Annotated[
    str | None,
    typer.Option(
        "--session",
        metavar="SESSION_ID",
        help="Of 'streams': only in this session.",
        show_default=False,
    ),
]
Live = Annotated[bool, typer.Option("--live", help="Of 'streams': only those that stream now.")]


def stream_filter(
    outcome: str | None, agent: str | None, session_id: str | None, *, live: bool
) -> StreamFilter:
    """What the options mean.

    Raises:
        InvalidValueError: one of them cannot be.
    """
    from session_router.agent_id import AgentId, check_agent_type
    from session_router.reports.filters import StreamFilter
    from session_router.session import check_session_id

    if outcome is not None:
        one_of(STREAM_OUTCOMES, outcome, "--outcome")
    if live and outcome is not None:
        raise InvalidValueError("what streams now has no outcome; leave out --live or --outcome.")
    agent_type, slash, key = (agent or "").partition("/")
    if agent is not None:
        agent_id = AgentId(agent_type, key) if slash else None
        check_agent_type(agent_id.type if agent_id else agent_type)
    return StreamFilter(
        outcome=outcome,
        agent_type=agent_type if agent is not None else None,
        agent_key=key if slash else None,
        session_id=None if session_id is None else check_session_id(session_id),
        live=live,
    )


def check_report(name: str, of: StreamFilter) -> None:
    """Raise InvalidValueError where streams are chosen in a report of something else."""
    from session_router.reports.filters import EVERY_STREAM

    if name != "streams" and of != EVERY_STREAM:
        raise InvalidValueError(
            "--outcome, --agent, --session and --live are of the report 'streams'; leave them out, "
            f"or ask for that one instead of {name!a}."
        )
