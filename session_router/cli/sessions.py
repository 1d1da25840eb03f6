"""`session-router sessions`: look at live sessions, and stop what streams in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from session_router.cli import output
from session_router.cli.connection import opened_repository
from session_router.cli.exit_codes import unknown_session
from session_router.cli.options import (
    AgentType,
    DatabaseUrl,
    Json,
    OwnerOption,
    SessionIdArgument,
    WorkerId,
    duration_of,
    settings_of,
    worker_of,
)

if TYPE_CHECKING:
    from session_router.repository.base import SessionRepository
    from session_router.repository.changes import SessionFilter
    from session_router.repository.records import StreamRow
    from session_router.session import Session
    from session_router.settings import Settings

_PAGE: Final = 1_000


def list_(
    prefix: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only ids that begin so.", show_default=False),
    ] = None,
    owner: OwnerOption = None,
    agent_type: AgentType = None,
    worker: WorkerId = None,
    streaming: Annotated[
        bool | None,
        typer.Option(
            "--streaming/--not-streaming",
            help="Only where an agent streams, or where none does.",
            show_default=False,
        ),
    ] = None,
    idle_for: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Only those untouched for so long: 90s, 10m, 2h, 1d.",
            show_default=False,
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """List the live sessions, or those that match.

    In the order of their ids. With --json one JSON document a line.
    """
    from session_router.agent_id import check_agent_type
    from session_router.repository.changes import SessionFilter
    from session_router.session import check_owner, check_session_id

    matching = SessionFilter(
        prefix=None if prefix is None else check_session_id(prefix),
        agent_type=None if agent_type is None else check_agent_type(agent_type),
        worker_id=worker_of(worker),
        streaming=streaming,
        idle_for=duration_of(idle_for, "--idle-for"),
        owner=check_owner(owner),
    )
    asyncio.run(_list(settings_of(database_url), matching, as_json))


def show(
    session_id: SessionIdArgument, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Show a live session and who streams in it.

    Each stream with its id, its worker and its beginning.
    """
    from session_router.session import check_session_id

    asyncio.run(_show(settings_of(database_url), check_session_id(session_id), as_json))


async def _list(settings: Settings, matching: SessionFilter, as_json: bool) -> None:
    from session_router.repository.changes import EVERY_SESSION

    async with opened_repository(settings) as repository:
        pages = 0
        async for page in _pages(repository, matching):
            _show_page(page, as_json, header=pages == 0)
            pages += 1
        if not pages and not as_json:
            output.note("no session lives" if matching == EVERY_SESSION else "no session matches")


async def _pages(
    repository: SessionRepository, matching: SessionFilter
) -> AsyncIterator[list[Session]]:
    after = None
    while page := await repository.list_sessions(after=after, limit=_PAGE, matching=matching):
        yield page
        after = page[-1].session_id


def _show_page(page: list[Session], as_json: bool, *, header: bool) -> None:
    if as_json:
        for session in page:
            output.show_json(session.model_dump(mode="json"))
        return
    output.show_rows(
        ("session", "started (UTC)", "last updated (UTC)", "streaming", "owner"),
        (
            (
                session.session_id,
                output.moment(session.start_time, "seconds"),
                output.moment(session.last_updated, "seconds"),
                ", ".join(sorted(map(str, session.agents_streaming))),
                session.owner or "",
            )
            for session in page
        ),
        header=header,
        flexible=("session", "streaming", "owner"),
    )


async def _show(settings: Settings, session_id: str, as_json: bool) -> None:
    from session_router.repository.records import NO_WORKER

    async with opened_repository(settings) as repository:
        session = await repository.find_session(session_id)
        if session is None:
            raise unknown_session(session_id)
        streams = await repository.list_streams(session_id)
    if as_json:
        output.show_json(session.model_dump(mode="json") | {"streams": [*map(_json_of, streams)]})
        return
    output.say(f"session       {output.escape(session.session_id)}")
    if session.owner is not None:
        output.say(f"owner         {output.escape(session.owner)}")
    output.say(f"started       {output.moment(session.start_time)} UTC")
    output.say(f"last updated  {output.moment(session.last_updated)} UTC")
    if session.timeout_minutes is not None:
        output.say(f"timeout       {session.timeout_minutes:g} min without a touch")
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


def _json_of(stream: StreamRow) -> dict[str, str | None]:
    return {
        "agent_id": str(stream.agent_id),
        "stream_id": str(stream.stream_id),
        "worker_id": str(stream.worker_id),
        "started_at": output.utc(stream.started_at),
    }
