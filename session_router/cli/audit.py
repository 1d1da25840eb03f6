"""`session-router audit`: whether the trail is whole, its seals, its export, its pruning."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from session_router.cli import output
from session_router.cli.connection import opened_trail
from session_router.cli.exit_codes import ExitCode
from session_router.cli.options import (
    Actor,
    DatabaseUrl,
    Json,
    actor_or_login,
    moment_of,
    settings_of,
)
from session_router.errors import DatabaseError
from session_router.text import check_free_text

if TYPE_CHECKING:
    from session_router.audit.retention import Plan, Pruned
    from session_router.audit.seals import Seal
    from session_router.audit.trail import Progress
    from session_router.audit.verification import Verification
    from session_router.pseudonyms import ErasureKey
    from session_router.settings import Settings


def verify_(
    seal: Annotated[
        Path | None,
        typer.Option(
            "--seal", metavar="FILE", help="Seals kept elsewhere, to compare.", show_default=False
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Check the conservation laws and the seals.

    Looks at the whole trail and at what lives, as of one moment. Exits with 1 where something is
    broken, and lists the first violations of each law. Seals need SESSION_ROUTER_ERASURE_KEY. When
    the trail was verified, and what came of it, is recorded in the database.
    """
    from session_router.audit import seals
    from session_router.bootstrap import erasure_key_of

    settings = settings_of(database_url)
    kept = seals.read_seals(seal) if seal else []
    key = erasure_key_of(settings)
    with output.progress() as progress:
        found = asyncio.run(_verify(settings, key, kept, progress))
    if as_json:
        output.show_json(_json_of(found, len(kept)))
    else:
        _show(found, len(kept))
    if found.violations:
        raise typer.Exit(ExitCode.FAULT)


def seal_(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """Seal the trail up to now.

    Each seal is a digest over a range of the trail, chained to the seal before. Keep what --json
    prints, one JSON document a line, where the database's administrators cannot write. Needs
    SESSION_ROUTER_ERASURE_KEY.
    """
    from session_router.bootstrap import needed_erasure_key_of

    settings = settings_of(database_url)
    key = needed_erasure_key_of(settings)
    with output.progress() as progress:
        made = asyncio.run(_seal(settings, key, progress))
    if as_json:
        _show_json(made)
    elif made:
        events = sum(each.events for each in made)
        output.say(f"sealed {events} event(s), up to event {made[-1].last_event_id}")
    else:
        output.say("nothing to seal: no event has come since the last seal")


def seals_(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """List the seals, oldest first.

    With --json one JSON document a line, to be kept for 'audit verify --seal'.
    """
    made = asyncio.run(_seals(settings_of(database_url)))
    if as_json:
        _show_json(made)
    elif not made:
        output.note("nothing is sealed yet")
    else:
        output.show_rows(
            ("seal", "from event", "to event", "events", "sealed (UTC)", "chain"),
            (
                (
                    str(each.seal_id),
                    str(each.first_event_id),
                    str(each.last_event_id),
                    str(each.events),
                    output.moment(each.sealed_at, "seconds"),
                    each.chain,
                )
                for each in made
            ),
            flexible=("chain",),
        )


def prune_(
    before: Annotated[
        str,
        typer.Option(
            "--before", metavar="TIME", help="2026-01-31, or with a time; UTC.", show_default=False
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
    over lies, is asked about on a terminal; a script is taken at its word, and told.
    """
    moment = moment_of(before, "--before")
    assert moment is not None
    actor = check_free_text(actor_or_login(actor), "actor")
    settings = settings_of(database_url)
    if dry_run:
        _show_plan(asyncio.run(_plan(settings, moment)), as_json)
        return
    if not yes and (planned := asyncio.run(_plan_if_ahead(settings, moment))) is not None:
        _ask_about_the_future(planned, before)
    with output.progress() as progress:
        done = asyncio.run(_prune(settings, moment, actor, progress))
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
        times = {name: time and time.isoformat().replace("+00:00", "Z") for name, time in (
            ("oldest", planned.oldest), ("newest", planned.newest))}  # fmt: skip
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


async def _plan_if_ahead(settings: Settings, before: datetime) -> Plan | None:
    from session_router.audit.retention import is_ahead, plan

    async with opened_trail(settings) as trail:
        return await plan(trail, before) if await is_ahead(trail, before) else None


async def _verify(
    settings: Settings, key: ErasureKey | None, kept: list[Seal], progress: Progress
) -> Verification:
    from session_router.audit.verification import record, verify

    async with opened_trail(settings) as trail:
        found = await verify(trail, key, kept, progress)
        try:
            await record(trail, found, actor_or_login(None))
        except DatabaseError as error:
            output.note(f"that the trail was verified could not be recorded: {error}")
    return found


async def _seal(settings: Settings, key: ErasureKey, progress: Progress) -> list[Seal]:
    from session_router.audit import seals

    async with opened_trail(settings) as trail:
        return await seals.seal(trail, key, progress)


async def _prune(
    settings: Settings, before: datetime, actor: str | None, progress: Progress
) -> Pruned:
    from session_router.audit.retention import prune
    from session_router.bootstrap import erasure_key_of

    async with opened_trail(settings) as trail:
        return await prune(trail, before, erasure_key_of(settings), actor, progress)


async def _seals(settings: Settings) -> list[Seal]:
    from session_router.audit import seals

    async with opened_trail(settings) as trail, trail.snapshot() as conn:
        return await seals.seals(trail, conn)


def _show_json(made: list[Seal]) -> None:
    for each in made:
        output.show_json(each.model_dump(mode="json"))


def _json_of(found: Verification, kept: int) -> dict[str, object]:
    return {
        "ok": not found.violations,
        "events": found.events,
        "seals": found.seals,
        "sealed_until": found.sealed_until,
        "kept_seals": kept,
        "violations": [asdict(violation) for violation in found.violations],
    }


def _show(found: Verification, kept: int) -> None:
    from session_router.audit.laws import SHOWN

    output.say(f"{found.events} event(s), {found.seals} seal(s)")
    for violation in found.violations:
        output.say(output.escape(str(violation)))
    if found.violations:
        output.note(f"the trail is not whole; of each law the first {SHOWN} violations are listed")
    else:
        sealed = f"; sealed up to event {found.sealed_until}" if found.seals else ""
        compared = f"; {kept} kept seal(s) are the same" if kept else ""
        output.say(f"the conservation laws hold{sealed}{compared}")
