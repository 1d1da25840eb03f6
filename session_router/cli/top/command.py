"""`session-router top`: what streams where, as it goes on; and a key that stops it."""

from __future__ import annotations

import asyncio
import shutil
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from session_router.cli import output
from session_router.cli.connection import opened_manager
from session_router.cli.options import (
    Actor,
    DatabaseUrl,
    Json,
    actor_or_login,
    duration_of,
    settings_of,
)
from session_router.errors import InvalidValueError, UnsupportedError

if TYPE_CHECKING:
    from session_router.manager import SessionManager
    from session_router.repository import SQLAlchemySessionRepository
    from session_router.settings import Settings
    from session_router.watch import Watch

_OFTENEST: Final = timedelta(milliseconds=500)
_RAREST: Final = timedelta(seconds=60)


def top(
    every: Annotated[
        str, typer.Option(metavar="DURATION", help="How often it is read anew: 500ms to 60s.")
    ] = "2s",
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Print it once; so it is where there is no terminal, without --json."
        ),
    ] = False,
    actor: Actor = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Show what streams where, live; stop it by a key.

    Above are the counts, with the signals that are not settled and what hooks are owed, then the
    workers, then the streams, the oldest first. Up and down (or k and j) choose a stream, s stops
    it once y has confirmed that, / filters by a part of session or agent, q or Ctrl-C leaves. With
    --json one JSON document a line, each time it is read.
    """
    pause = _pause(every)
    is_once = once or not (as_json or (sys.stdin.isatty() and output.is_watched()))
    if not (is_once or as_json):
        _check_terminal()
    settings = settings_of(database_url)
    asyncio.run(_top(settings, pause, actor_or_login(actor), is_once=is_once, as_json=as_json))


def _pause(every: str) -> timedelta:
    pause = duration_of(every, "--every")
    if pause is None or not _OFTENEST <= pause <= _RAREST:
        raise InvalidValueError(f"--every {every!a} is out of range; give 500ms to 60s.")
    return pause


def _check_terminal() -> None:
    try:
        import termios  # noqa: F401 - looked for, not used
    except ImportError:
        raise UnsupportedError(
            "this system has no terminals that can be drawn on by termios; use --once, or --json."
        ) from None


async def _top(
    settings: Settings, pause: timedelta, actor: str | None, *, is_once: bool, as_json: bool
) -> None:
    from session_router.repository import SQLAlchemySessionRepository
    from session_router.watch import Watch

    async with opened_manager(settings) as manager:
        repository = manager.repository
        assert isinstance(repository, SQLAlchemySessionRepository)
        watch = Watch(manager, repository)
        if as_json:
            await _print_json(watch, pause, is_once=is_once)
        elif is_once:
            await _print(watch, _name_of(repository))
        else:
            await _live(manager, watch, settings, pause, actor, _name_of(repository))


def _name_of(repository: SQLAlchemySessionRepository) -> str:
    from session_router.database.engine import name_of

    return name_of(repository.engine)


async def _print(watch: Watch, database: str) -> None:
    from session_router.cli.top.picture import Look, whole_picture
    from session_router.cli.top.view import read

    width = shutil.get_terminal_size().columns if output.is_watched() else None
    for line in whole_picture(await read(watch), Look(database), width):
        output.say(line)


async def _print_json(watch: Watch, pause: timedelta, *, is_once: bool) -> None:
    from session_router.cli.top.view import PASSING, json_of, read

    is_noted = False
    while True:
        try:
            output.show_json(json_of(await read(watch)))
            is_noted = False
        except PASSING as error:
            if is_once:
                raise
            if not is_noted:
                output.note(f"waiting: {error}")
            is_noted = True
        if is_once:
            return
        await asyncio.sleep(pause.total_seconds())


async def _live(
    manager: SessionManager,
    watch: Watch,
    settings: Settings,
    pause: timedelta,
    actor: str | None,
    database: str,
) -> None:
    from session_router.cli.top.live import Asked, Live
    from session_router.cli.top.view import read

    asked = Asked(database, pause.total_seconds(), actor, settings.settled_within_sec)
    await Live(manager, watch, await read(watch), asked).run()
