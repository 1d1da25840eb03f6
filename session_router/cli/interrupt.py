"""`session-router sessions interrupt`: of a session, of one stream, or of all that match."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from session_router.cli import output
from session_router.cli.connection import opened_manager
from session_router.cli.exit_codes import unknown_session
from session_router.cli.options import (
    Actor,
    AgentType,
    DatabaseUrl,
    Json,
    OwnerOption,
    Reason,
    WorkerId,
    actor_or_login,
    duration_of,
    settings_of,
    worker_of,
)
from session_router.errors import InvalidValueError

if TYPE_CHECKING:
    from session_router.agent_id import AgentId
    from session_router.settings import Settings

_AT_ONCE_SEC: Final = 0.001


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks for it, whose session it is, and how long the receipts are waited for."""

    actor: str | None
    reason: str | None
    wait: float
    owner: str | None


def interrupt(
    session_id: Annotated[
        str | None,
        typer.Argument(metavar="SESSION_ID", help="The session's id.", show_default=False),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE/KEY", help="Only this agent; may be repeated.", show_default=False
        ),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            metavar="STREAM_ID",
            help="Exactly this stream, even before it begins.",
            show_default=False,
        ),
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--all", help="In all sessions; what follows narrows that down.")
    ] = False,
    agent_type: AgentType = None,
    worker: WorkerId = None,
    owner: OwnerOption = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Only streams that began so long ago, or before: 90s, 10m, 2h, 1d.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --all: count what matches, and stop nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --all: do not ask.")] = False,
    actor: Actor = None,
    reason: Reason = None,
    wait: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long to wait at the most for what becomes of it; 0: not at all. Left out: "
            "the poll interval, the cancel timeout and the operation deadline together, in which "
            "a live worker has settled it.",
            show_default="16, by their defaults",
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Stop what streams in a session, or anywhere.

    That is all that streams in it now, or one stream, or with --all what matches. The sessions
    live on. The workers that the agents stream in carry it out. Prints what became
    of the signals: delivered, failed, lost, or open when that is not known in time.
    """
    from session_router.agent_id import AgentId, check_agent_type
    from session_router.cli.bulk import interrupt_all
    from session_router.repository.changes import StreamFilter
    from session_router.session import check_owner, check_session_id

    settings = settings_of(database_url)
    settled_sec = settings.settled_within_sec if wait is None else wait
    asked = _Asked(actor_or_login(actor), reason, settled_sec or _AT_ONCE_SEC, check_owner(owner))
    narrowed = (agent_type, worker, older_than, dry_run or None, yes or None)
    if everywhere:
        if (session_id, agent, stream) != (None, None, None):
            raise InvalidValueError(
                "--all is for all sessions; leave out SESSION_ID, --agent and --stream, or --all."
            )
        matching = StreamFilter(
            agent_type=None if agent_type is None else check_agent_type(agent_type),
            worker_id=worker_of(worker),
            older_than=duration_of(older_than, "--older-than"),
            owner=check_owner(owner),
        )
        if not (dry_run or yes or sys.stdin.isatty()):
            raise InvalidValueError("nobody can be asked whether to stop them; give --yes.")
        asyncio.run(
            interrupt_all(
                settings,
                matching,
                actor=asked.actor,
                reason=asked.reason,
                wait_sec=asked.wait,
                dry_run=dry_run,
                is_sure=yes,
                as_json=as_json,
            )
        )
        return
    if session_id is None or any(option is not None for option in narrowed):
        raise InvalidValueError(
            "give the SESSION_ID to interrupt, or --all; --agent-type, --worker, --older-than, "
            "--dry-run and --yes belong to --all."
        )
    if stream is not None:
        if agent is not None:
            raise InvalidValueError("--stream names one stream; leave out --agent, or --stream.")
        asyncio.run(_stream(settings, check_session_id(session_id), stream, asked, as_json))
        return
    agents = [AgentId.from_str(text) for text in agent] if agent else None
    asyncio.run(_session(settings, session_id, agents, asked, as_json))


async def _session(
    settings: Settings,
    session_id: str,
    agents: Sequence[AgentId] | None,
    asked: _Asked,
    as_json: bool,
) -> None:
    async with opened_manager(settings) as manager:
        request = await manager.request_interrupt(
            session_id,
            agents,
            actor=asked.actor,
            reason=asked.reason,
            wait=asked.wait,
            owner=asked.owner,
        )
    if request is None:
        raise unknown_session(session_id)
    told = {str(agent_id): outcome for agent_id, outcome in (request.outcomes or {}).items()}
    if as_json:
        output.show_json({"session_id": session_id, "interrupted": [*told], "outcomes": told})
    elif not told:
        output.say("none of these agents streams" if agents else "no agent streams")
    else:
        rows = [(agent_id, outcome or "open") for agent_id, outcome in told.items()]
        output.show_rows(("agent", "signal"), rows, flexible=("agent",))


async def _stream(
    settings: Settings, session_id: str, stream_id: str, asked: _Asked, as_json: bool
) -> None:
    from session_router.repository.results import Found

    async with opened_manager(settings) as manager:
        did = await manager.interrupt_stream(
            session_id,
            stream_id,
            actor=asked.actor,
            reason=asked.reason,
            wait=asked.wait,
            owner=asked.owner,
        )
    if as_json:
        output.show_json(
            {
                "session_id": session_id,
                "stream_id": stream_id,
                "found": did.found,
                "agent_id": None if did.agent_id is None else str(did.agent_id),
                "outcome": did.outcome,
            }
        )
    elif did.found is Found.LIVE:
        row = (str(did.agent_id), did.outcome or "open")
        output.show_rows(("agent", "signal"), [row], flexible=("agent",))
    elif did.found is Found.OVER:
        output.say("the stream has ended already")
    else:
        within = f"{settings.early_stop_sec:g} s"
        output.say(f"the stream has not begun; if it does within {within}, it ends at once")
