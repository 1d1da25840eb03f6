"""`session-router audit`: whether the trail is whole, its seals, its export, its pruning."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from session_router.cli import output
from session_router.cli.connection import opened_trail
from session_router.cli.exit_codes import ExitCode
from session_router.cli.options import (
    DatabaseUrl,
    Json,
    actor_or_login,
    duration_of,
    settings_of,
)
from session_router.errors import DatabaseError, InvalidSettingError, InvalidValueError

if TYPE_CHECKING:
    from datetime import timedelta

    from session_router.audit.keys import AuditKeys
    from session_router.audit.receipts import OwnerReceipt, Receipt
    from session_router.audit.seals import Seal
    from session_router.audit.trail import Progress
    from session_router.audit.verification import Verification
    from session_router.settings import Settings


def verify_(
    seal: Annotated[
        Path | None,
        typer.Option(
            "--seal", metavar="FILE", help="Seals kept elsewhere, to compare.", show_default=False
        ),
    ] = None,
    receipt: Annotated[
        Path | None,
        typer.Option(
            "--receipt",
            metavar="FILE",
            help="The receipt of an erasure, to see that it still holds.",
            show_default=False,
        ),
    ] = None,
    since_seal: Annotated[
        int | None,
        typer.Option(
            "--since-seal",
            metavar="N",
            help="Compare the seals behind seal N with their events. Left out: those that no "
            "verification has found whole yet.",
            show_default=False,
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Compare all seals with their events.")
    ] = False,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Check the conservation laws and the seals.

    The laws are asked of the whole trail and of what lives; a seal that was found whole before is
    not compared again. Exits with 1 where something is broken, and lists the first violations of
    each law. Seals need SESSION_ROUTER_ERASURE_KEY, or where they are signed
    SESSION_ROUTER_SEAL_PUBLIC_KEYS; without a key they are not checked. When the trail was
    verified, and what came of it, is recorded in the database.
    """
    from session_router.audit.receipts import read_receipt
    from session_router.audit.seals import read_seals
    from session_router.bootstrap import audit_keys_of

    if whole and since_seal is not None:
        raise InvalidValueError("--whole compares all seals, so leave out --since-seal.")
    settings = settings_of(database_url)
    kept = read_seals(seal) if seal else []
    asked = _Asked(
        audit_keys_of(settings),
        kept,
        None if receipt is None else read_receipt(receipt),
        since_seal=0 if whole else since_seal,
    )
    with output.progress() as progress:
        found = asyncio.run(_verify(settings, asked, progress))
    if as_json:
        output.show_json(_json_of(found, len(kept)))
    else:
        _show(found, len(kept))
    if found.violations:
        raise typer.Exit(ExitCode.FAULT)


def seal_(
    every: Annotated[
        str | None,
        typer.Option(
            "--every",
            metavar="AGE",
            help="Go on, and seal whenever the newest seal is that old, such as 1h.",
            show_default=False,
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Seal the trail up to now.

    Each seal is a digest over a range of the trail, chained to the seal before. Keep what --json
    prints, one JSON document a line, where the database's administrators cannot write. It is
    signed with SESSION_ROUTER_SEAL_KEY, or without one authenticated by
    SESSION_ROUTER_ERASURE_KEY. With --every it seals until SIGTERM or Ctrl-C, and logs that to
    stderr.
    """
    from session_router.bootstrap import audit_keys_of
    from session_router.log_output import write_log

    settings = settings_of(database_url)
    keys = audit_keys_of(settings)
    keys.signer()  # refuses at once where there is none
    interval = duration_of(every, "--every")
    if interval is not None:
        if as_json:
            raise InvalidValueError("--every logs what it seals; leave out --json.")
        write_log(settings.log_format, settings.log_level)
        asyncio.run(_seal_until_told(settings, keys, interval))
        return
    with output.progress() as progress:
        made = asyncio.run(_seal(settings, keys, progress))
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


def public_key_(as_json: Json = False) -> None:
    """Print the key that others check the seals by.

    It is the public one of SESSION_ROUTER_SEAL_KEY. Whoever has it, as
    SESSION_ROUTER_SEAL_PUBLIC_KEYS, checks the seals, and cannot make one. The seals have its id.
    """
    from session_router.bootstrap import audit_keys_of

    private = audit_keys_of(settings_of(None)).private
    if private is None:
        raise InvalidSettingError(
            "SESSION_ROUTER_SEAL_KEY is not set; set it to 64 hexadecimal digits, such as the "
            "output of 'openssl rand -hex 32', and keep it."
        )
    if as_json:
        output.show_json({"public_key": private.public.text, "key_id": private.key_id})
    else:
        output.say(private.public.text)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be verified, and by what; None stands for what was not said."""

    keys: AuditKeys
    kept: list[Seal]
    receipt: Receipt | OwnerReceipt | None
    since_seal: int | None


async def _verify(settings: Settings, asked: _Asked, progress: Progress) -> Verification:
    from session_router.audit.receipts import broken_receipt
    from session_router.audit.verification import end_of_seal, last_verified, record, verify

    async with opened_trail(settings) as trail:
        if asked.since_seal is None:
            since = await last_verified(trail)
        else:
            since = await end_of_seal(trail, asked.since_seal)
        found = await verify(trail, asked.keys, asked.kept, since, progress)
        if asked.receipt is not None:
            broken = await broken_receipt(trail, asked.receipt, asked.keys)
            found = replace(found, violations=[*found.violations, *broken])
        try:
            await record(trail, found, actor_or_login(None))
        except DatabaseError as error:
            output.note(f"that the trail was verified could not be recorded: {error}")
    return found


async def _seal(settings: Settings, keys: AuditKeys, progress: Progress) -> list[Seal]:
    from session_router.audit.seals import seal

    async with opened_trail(settings) as trail:
        return await seal(trail, keys, progress)


async def _seal_until_told(settings: Settings, keys: AuditKeys, every: timedelta) -> None:
    import signal

    from session_router.sealing import sealing

    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for order in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(order, told.set)
    async with opened_trail(settings) as trail, sealing(trail, keys, every):
        await told.wait()


async def _seals(settings: Settings) -> list[Seal]:
    from session_router.audit.seals import seals

    async with opened_trail(settings) as trail, trail.snapshot() as conn:
        return await seals(trail, conn)


def _show_json(made: list[Seal]) -> None:
    for each in made:
        output.show_json(each.model_dump(mode="json"))


def _json_of(found: Verification, kept: int) -> dict[str, object]:
    return {
        "ok": not found.violations,
        "events": found.events,
        "seals": found.seals,
        "checked_seals": found.checked,
        "unchecked_seals": len(found.unchecked),
        "sealed_until": found.sealed_until,
        "unsealed_events": found.unsealed,
        "unsealed_since": output.utc(found.unsealed_since),
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
        output.say(f"the conservation laws hold{_sealed(found)}{_compared(kept)}")
    if found.unsealed_since is not None:
        since = output.moment(found.unsealed_since, "seconds")
        output.say(f"{found.unsealed} event(s) since {since} UTC are not sealed")
    if found.seals and not found.sealed_until:
        output.note(
            "no seal was checked: that needs SESSION_ROUTER_ERASURE_KEY, or where they are signed "
            "SESSION_ROUTER_SEAL_PUBLIC_KEYS"
        )
    if found.unchecked:
        newest = found.unchecked[-1]
        output.note(
            f"{len(found.unchecked)} seal(s), up to event {newest.last_event_id}, were not "
            f"checked: that needs the erasure key {newest.key_id}"
        )


def _sealed(found: Verification) -> str:
    if not found.sealed_until:
        return ""
    before = found.seals - found.checked
    passed = f" ({before} seal(s) were found whole before; --whole compares all)" if before else ""
    return f"; sealed up to event {found.sealed_until}{passed}"


def _compared(kept: int) -> str:
    return f"; {kept} kept seal(s) are the same" if kept else ""
