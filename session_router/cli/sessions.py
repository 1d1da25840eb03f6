"""`session-router sessions`: look at live sessions, and stop what streams in them."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Final

import typer

from session_router.agent_id import AgentId
from session_router.cli import output
from session_router.cli.connection import opened_manager, opened_repository
from session_router.cli.erase import erase
from session_router.cli.exit_codes import UnknownSessionError
from session_router.cli.options import (
    Actor,
    DatabaseUrl,
    Json,
    Reason,
    SessionIdArgument,
    actor_or_login,
    settings_of,
)
from session_router.events import SignalOutcome
from session_router.repository.base import SessionRepository
from session_router.repository.records import NO_WORKER, StreamRow
from session_router.session import Session, check_session_id
from session_router.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look at live sessions; stop what streams in them.")
app.command()(erase)

_PAGE: Final = 1_000
_AT_ONCE_SEC: Final = 0.001


@app.command("list")
def list_(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """List the live sessions.

    In the order of their ids. With --json one JSON document a line.
    """
    asyncio.run(_list(settings_of(database_url), as_json))


@app.command()
def show(
    session_id: SessionIdArgument, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Show a live session and who streams in it.

    Each stream with its id, its worker and its beginning.
    """
    asyncio.run(_show(settings_of(database_url), check_session_id(session_id), as_json))


@app.command()
def interrupt(
    session_id: SessionIdArgument,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE/KEY", help="Only this agent; may be repeated.", show_default=False
        ),
    ] = None,
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
            show_default=f"{Settings.model_construct().settled_within_sec:g}, by their defaults",
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Stop what streams in a session now; the session lives on.

    The workers that the agents stream in carry it out. Prints each agent with what became of its
    signal: delivered, failed, lost, or open when that is not known in time.
    """
    agents = [AgentId.from_str(text) for text in agent] if agent else None
    asked = partial(
        _interrupt, agents=agents, actor=actor_or_login(actor), reason=reason, wait=wait
    )
    outcomes = asyncio.run(asked(settings_of(database_url), session_id))
    told = {str(agent_id): outcome for agent_id, outcome in outcomes.items()}
    if as_json:
        output.show_json({"session_id": session_id, "interrupted": [*told], "outcomes": told})
    elif not told:
        output.say("none of these agents streams" if agents else "no agent streams")
    else:
        rows = [(agent_id, outcome or "open") for agent_id, outcome in told.items()]
        output.show_rows(("agent", "signal"), rows, flexible=("agent",))


@app.command()
def end(
    session_id: SessionIdArgument,
    actor: Actor = None,
    reason: Reason = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """End a session and stop what streams in it.

    The workers remove its agents from their runtimes. The story of the session stays.
    """
    asyncio.run(_end(settings_of(database_url), session_id, actor_or_login(actor), reason, as_json))


async def _list(settings: Settings, as_json: bool) -> None:
    async with opened_repository(settings) as repository:
        pages = 0
        async for page in _pages(repository):
            _show_page(page, as_json, header=pages == 0)
            pages += 1
        if not pages and not as_json:
            output.note("no session lives")


async def _pages(repository: SessionRepository) -> AsyncIterator[list[Session]]:
    after = None
    while page := await repository.list_sessions(after=after, limit=_PAGE):
        yield page
        after = page[-1].session_id


def _show_page(page: list[Session], as_json: bool, *, header: bool) -> None:
    if as_json:
        for session in page:
            output.show_json(session.model_dump(mode="json"))
        return
    output.show_rows(
        ("session", "started (UTC)", "last updated (UTC)", "streaming"),
        (
            (
                session.session_id,
                output.moment(session.start_time, "seconds"),
                output.moment(session.last_updated, "seconds"),
                ", ".join(sorted(map(str, session.agents_streaming))),
            )
            for session in page
        ),
        header=header,
        flexible=("session", "streaming"),
    )


async def _show(settings: Settings, session_id: str, as_json: bool) -> None:
    async with opened_repository(settings) as repository:
        session = await repository.find_session(session_id)
        if session is None:
            raise _unknown(session_id)
        streams = await repository.list_streams(session_id)
    if as_json:
        output.show_json(session.model_dump(mode="json") | {"streams": [*map(_json_of, streams)]})
        return
    output.say(f"session       {output.escape(session.session_id)}")
    output.say(f"started       {output.moment(session.start_time)} UTC")
    output.say(f"last updated  {output.moment(session.last_updated)} UTC")
    output.say(f"streams       {len(streams)}")
    if streams:
        output.say("")
        output.show_rows(
            ("agent", "streaming since (UTC)", "stream_id", "worker"),
            (
                (
                    str(stream.agent_id),
                    output.moment(stream.started_at),
                    str(stream.stream_id),
                    "none" if stream.worker_id == NO_WORKER else str(stream.worker_id),
                )
                for stream in streams
            ),
            flexible=("agent", "stream_id", "worker"),
        )


async def _interrupt(
    settings: Settings,
    session_id: str,
    *,
    agents: list[AgentId] | None,
    actor: str | None,
    reason: str | None,
    wait: float | None,
) -> dict[AgentId, SignalOutcome | None]:
    wait = settings.settled_within_sec if wait is None else wait
    async with opened_manager(settings) as manager:
        request = await manager.request_interrupt(
            session_id, agents, actor=actor, reason=reason, wait=wait or _AT_ONCE_SEC
        )
    if request is None:
        raise _unknown(session_id)
    return request.outcomes or {}


async def _end(
    settings: Settings, session_id: str, actor: str | None, reason: str | None, as_json: bool
) -> None:
    async with opened_manager(settings) as manager:
        if not await manager.end_session(session_id, actor=actor, reason=reason):
            raise _unknown(session_id)
    if as_json:
        output.show_json({"session_id": session_id, "ended": True})
    else:
        output.say(f"ended {output.escape(session_id)}")


def _json_of(stream: StreamRow) -> dict[str, str]:
    return {
        "agent_id": str(stream.agent_id),
        "stream_id": str(stream.stream_id),
        "worker_id": str(stream.worker_id),
        "started_at": stream.started_at.isoformat().replace("+00:00", "Z"),
    }


def _unknown(session_id: str) -> UnknownSessionError:
    return UnknownSessionError(
        f"no session {session_id!a} lives. 'session-router sessions list' shows those that do; "
        "'session-router events' tells how one ended."
    )
