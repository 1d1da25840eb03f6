"""`session-router sessions erase`: pseudonyms in the place of what names a session."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from session_router.cli import output
from session_router.cli.connection import opened_trail
from session_router.cli.exit_codes import UnknownSessionError
from session_router.cli.options import (
    Actor,
    DatabaseUrl,
    Json,
    actor_or_login,
    settings_of,
)
from session_router.errors import InvalidValueError
from session_router.text import check_free_text

if TYPE_CHECKING:
    from session_router.audit.keys import AuditKeys
    from session_router.audit.receipts import OwnerReceipt, Receipt
    from session_router.settings import Settings

_WIDTH: Final = 13


def erase(
    session_id: Annotated[
        str | None,
        typer.Argument(metavar="SESSION_ID", help="The session's id.", show_default=False),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER", help="Instead: all that this owner ever had.", show_default=False
        ),
    ] = None,
    again: Annotated[
        Path | None,
        typer.Option(
            metavar="RECEIPT",
            help="Instead: what this receipt, a file that --json printed, is of, as after the "
            "restore of a backup.",
            show_default=False,
        ),
    ] = None,
    actor: Actor = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Erase a session, or all of an owner, from the trail.

    That is every life of its id, or all that the owner ever had. Ends what lives of it. Then
    keyed hashes take the place of its id, its agents' keys, the actors and the details; numbers
    and times stay. Prints a receipt. Cannot be undone. Needs SESSION_ROUTER_ERASURE_KEY.
    """
    from session_router.audit.receipts import read_receipt
    from session_router.bootstrap import audit_keys_of
    from session_router.session import check_owner

    if sum(given is not None for given in (session_id, owner, again)) != 1:
        raise InvalidValueError(
            "give the SESSION_ID to erase, or --owner, or --again; one of them."
        )
    actor = check_free_text(actor_or_login(actor), "actor")
    settings = settings_of(database_url)
    keys = audit_keys_of(settings)
    if again is not None:
        receipt = asyncio.run(_erase_again(settings, read_receipt(again), keys, actor))
        if receipt is None:
            output.note("nothing of what the receipt names has come back; nothing was erased")
            return
    else:
        receipt = asyncio.run(_erase(settings, session_id, check_owner(owner), keys, actor))
    if receipt is None:
        what = f"a session {session_id!a}" if owner is None else f"an owner {owner!a}"
        raise UnknownSessionError(
            f"nothing is known of {what}, or it was erased before. Names are told apart by case "
            "and blanks."
        )
    if as_json:
        output.show_json(_json_of(receipt))
    else:
        _show(receipt)


async def _erase(
    settings: Settings,
    session_id: str | None,
    owner: str | None,
    keys: AuditKeys,
    actor: str | None,
) -> Receipt | OwnerReceipt | None:
    from session_router.audit.erasure import erase as erase_in
    from session_router.audit.erasure import erase_owner
    from session_router.session import check_session_id

    named = None if session_id is None else check_session_id(session_id)
    async with opened_trail(settings) as trail:
        if named is not None:
            return await erase_in(trail, named, keys, actor)
        assert owner is not None
        return await erase_owner(trail, owner, keys, actor)


async def _erase_again(
    settings: Settings, receipt: Receipt | OwnerReceipt, keys: AuditKeys, actor: str | None
) -> Receipt | OwnerReceipt | None:
    from session_router.audit.erasure import erase_again

    async with opened_trail(settings) as trail:
        return await erase_again(trail, receipt, keys, actor)


def _json_of(receipt: Receipt | OwnerReceipt) -> dict[str, object]:
    return asdict(receipt) | {
        "request_id": str(receipt.request_id),
        "erased_at": output.utc(receipt.erased_at),
    }


def _show(receipt: Receipt | OwnerReceipt) -> None:
    from session_router.audit.receipts import Receipt

    erased = receipt.session_id if isinstance(receipt, Receipt) else f"all of {receipt.owner}"
    lines = {
        "erased": output.escape(erased),
        "pseudonym": receipt.pseudonym,
        "at": f"{output.moment(receipt.erased_at)} UTC",
        "request": str(receipt.request_id),
        **_counts(receipt),
        "events": str(receipt.events),
        "open signals": str(receipt.signals),
    }
    for name, value in lines.items():
        output.say(f"{name:<{_WIDTH}} {value}")


def _counts(receipt: Receipt | OwnerReceipt) -> dict[str, str]:
    from session_router.audit.receipts import OwnerReceipt

    if isinstance(receipt, OwnerReceipt):
        ended = f", {receipt.ended} of them ended for it" if receipt.ended else ""
        return {"sessions": f"{receipt.sessions}{ended}", "lives": str(receipt.lives)}
    ended = ", the last one ended for it" if receipt.was_live else ""
    return {"lives": f"{receipt.lives}{ended}"}
