"""`session-router sessions end`: a session, or all that one owner has."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from session_router.cli import output
from session_router.cli.connection import opened_manager
from session_router.cli.exit_codes import unknown_session
from session_router.cli.options import (
    Actor,
    DatabaseUrl,
    Json,
    OwnerOption,
    Reason,
    actor_or_login,
    settings_of,
)
from session_router.errors import InvalidValueError

if TYPE_CHECKING:
    from session_router import SessionManager
    from session_router.settings import Settings

_AT_ONCE = 100


def end(
    session_id: Annotated[
        str | None,
        typer.Argument(metavar="SESSION_ID", help="The session's id.", show_default=False),
    ] = None,
    owner: OwnerOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Without a SESSION_ID: do not ask.")] = False,
    actor: Actor = None,
    reason: Reason = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """End a session, or all of an owner.

    What streams in it is stopped, and the workers remove its agents from their runtimes. The
    story of the session stays. With --owner alone all sessions that are that owner's end.
    """
    from session_router.session import check_owner, check_session_id

    settings, by = settings_of(database_url), actor_or_login(actor)
    if session_id is not None:
        asyncio.run(
            _end(settings, check_session_id(session_id), check_owner(owner), by, reason, as_json)
        )
        return
    if owner is None:
        raise InvalidValueError("give the SESSION_ID to end, or --owner to end all of an owner's.")
    if not (yes or sys.stdin.isatty()):
        raise InvalidValueError("nobody can be asked whether to end them; give --yes.")
    asyncio.run(_end_all(settings, check_owner(owner), by, reason, is_sure=yes, as_json=as_json))


async def _end(
    settings: Settings,
    session_id: str,
    owner: str | None,
    actor: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    async with opened_manager(settings) as manager:
        if not await manager.end_session(session_id, actor=actor, reason=reason, owner=owner):
            raise unknown_session(session_id)
    if as_json:
        output.show_json({"session_id": session_id, "ended": True})
    else:
        output.say(f"ended {output.escape(session_id)}")


async def _end_all(
    settings: Settings,
    owner: str | None,
    actor: str | None,
    reason: str | None,
    *,
    is_sure: bool,
    as_json: bool,
) -> None:
    ended, after = 0, None
    async with opened_manager(settings) as manager:
        if not is_sure:
            typer.confirm(f"End all sessions of {owner!a}?", abort=True, err=True)
        while page := await _page(manager, owner, after):
            did = await asyncio.gather(
                *(manager.end_session(i, actor=actor, reason=reason, owner=owner) for i in page)
            )
            ended, after = ended + sum(did), page[-1]
    if as_json:
        output.show_json({"owner": owner, "ended": ended})
    else:
        what = "1 session" if ended == 1 else f"{ended} sessions"
        output.say(f"ended {what} of {output.escape(str(owner))}")


async def _page(manager: SessionManager, owner: str | None, after: str | None) -> list[str]:
    from session_router.repository.changes import SessionFilter

    found = await manager.repository.list_sessions(
        after=after, limit=_AT_ONCE, matching=SessionFilter(owner=owner)
    )
    return [session.session_id for session in found]
