"""`session-router audit prune`: old stories leave the trail."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from session_router.cli import output
from session_router.cli.connection import opened_trail
from session_router.cli.exit_codes import ExitCode
from session_router.cli.options import Actor, DatabaseUrl, Json, actor_or_login, settings_of
from session_router.text import check_free_text

if TYPE_CHECKING:
    from session_router.audit.retention import Plan, Pruned
    from session_router.audit.trail import Progress
    from session_router.reports.bounds import Moment
    from session_router.settings import Settings


def prune(
    before: Annotated[
        str,
        typer.Option(
            "--before",
            metavar="TIME",
            help="2026-01-31, or with a time, UTC; or so long ago: 30d, 52w.",
            show_default=False,
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go; write nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask about a TIME in the future.")
    ] = False,
    actor: Actor = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Remove old stories from the trail.

    A story goes whole, when its session does not live and its last event is older than TIME.
    What is removed is recorded in the trail. Where the trail is sealed, a digest of each story
    stays, and SESSION_ROUTER_ERASURE_KEY is needed. A TIME in the future, before which all that is
    over lies, is asked about on a terminal; a script is taken at its word, and told. What is
    younger than SESSION_ROUTER_PRUNE_LEAST_AGE_DAYS stays, whatever TIME says: it is refused.
    """
    from session_router.reports.bounds import parse_moment

    moment = parse_moment(before, "--before")
    actor = check_free_text(actor_or_login(actor), "actor")
    settings = settings_of(database_url)
    time, now = asyncio.run(_resolved(settings, moment))
    if dry_run:
        _show_plan(asyncio.run(_plan(settings, time)), as_json)
        return
    if time > now and not yes:
        _ask_about_the_future(asyncio.run(_plan(settings, time)), before)
    with output.progress() as progress:
        done = asyncio.run(_prune(settings, time, actor, progress))
    if as_json:
        output.show_json(asdict(done) | {"request_id": str(done.request_id)})
    else:
        output.say(f"removed {done.stories} stories, {done.events} event(s)")


def _ask_about_the_future(planned: Plan, before: str) -> None:
    if not sys.stdin.isatty():
        output.note(
            f"{output.escape(before)} lies in the future, so every story that is over goes: "
            f"{_told(planned)}"
        )
        return
    output.note(f"{output.escape(before)} lies in the future. Remove {_told(planned)}? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        output.note("nothing was removed")
        raise typer.Exit(ExitCode.USAGE)


def _show_plan(planned: Plan, as_json: bool) -> None:
    if as_json:
        times = {"oldest": output.utc(planned.oldest), "newest": output.utc(planned.newest)}
        output.show_json({"stories": planned.stories, "events": planned.events, **times})
    else:
        output.say(f"would remove {_told(planned)}")


def _told(planned: Plan) -> str:
    told = f"{planned.stories} stories, {planned.events} event(s)"
    if planned.oldest is None or planned.newest is None:
        return told
    first, last = (output.moment(time, "seconds") for time in (planned.oldest, planned.newest))
    return f"{told}, from {first} to {last} UTC"


async def _plan(settings: Settings, before: datetime) -> Plan:
    from session_router.audit.retention import plan

    async with opened_trail(settings) as trail:
        return await plan(trail, before)


async def _prune(
    settings: Settings, before: datetime, actor: str | None, progress: Progress
) -> Pruned:
    from session_router.audit import retention
    from session_router.bootstrap import audit_keys_of

    async with opened_trail(settings) as trail:
        return await retention.prune(trail, before, audit_keys_of(settings), actor, progress)


async def _resolved(settings: Settings, moment: Moment) -> tuple[datetime, datetime]:
    """The time that is meant, and the database's own."""
    from session_router.audit.retention import check_age
    from session_router.reports.bounds import Bounds

    async with opened_trail(settings) as trail:
        now = await trail.now()
    before, _ = Bounds(since=moment).at(now)
    assert before is not None
    check_age(before, now, timedelta(days=settings.prune_least_age_days))
    return before, now
