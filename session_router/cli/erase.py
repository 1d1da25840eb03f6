"""`session-router sessions erase`: pseudonyms in the place of what names a session."""

import asyncio
from dataclasses import asdict
from typing import Final

from session_router.audit.erasure import Receipt
from session_router.audit.erasure import erase as erase_in
from session_router.bootstrap import needed_erasure_key_of
from session_router.cli import output
from session_router.cli.connection import opened_trail
from session_router.cli.exit_codes import UnknownSessionError
from session_router.cli.options import (
    Actor,
    DatabaseUrl,
    Json,
    SessionIdArgument,
    actor_or_login,
    settings_of,
)
from session_router.pseudonyms import ErasureKey
from session_router.session import check_session_id
from session_router.settings import Settings
from session_router.text import check_free_text

_WIDTH: Final = 13


def erase(
    session_id: SessionIdArgument,
    actor: Actor = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Erase a session id from the trail, every life of it.

    Ends the session if it lives. Then keyed hashes take the place of its id, its agents' keys,
    the actors and the details; numbers and times stay. Prints a receipt. Cannot be undone. Needs
    SESSION_ROUTER_ERASURE_KEY.
    """
    check_session_id(session_id)
    actor = check_free_text(actor_or_login(actor), "actor")
    settings = settings_of(database_url)
    key = needed_erasure_key_of(settings)
    receipt = asyncio.run(_erase(settings, session_id, key, actor))
    if receipt is None:
        raise UnknownSessionError(
            f"nothing is known of a session {session_id!a}, or it was erased before. Ids are told "
            "apart by case and blanks."
        )
    if as_json:
        output.show_json(_json_of(receipt))
    else:
        _show(receipt)


async def _erase(
    settings: Settings, session_id: str, key: ErasureKey, actor: str | None
) -> Receipt | None:
    async with opened_trail(settings) as trail:
        return await erase_in(trail, session_id, key, actor)


def _json_of(receipt: Receipt) -> dict[str, object]:
    return asdict(receipt) | {
        "request_id": str(receipt.request_id),
        "erased_at": receipt.erased_at.isoformat().replace("+00:00", "Z"),
    }


def _show(receipt: Receipt) -> None:
    lines = {
        "erased": output.escape(receipt.session_id),
        "pseudonym": receipt.pseudonym,
        "at": f"{output.moment(receipt.erased_at)} UTC",
        "request": str(receipt.request_id),
        "lives": f"{receipt.lives}, the last one ended for it" if receipt.was_live
        else str(receipt.lives),
        "events": str(receipt.events),
        "open signals": str(receipt.signals),
    }  # fmt: skip
    for name, value in lines.items():
        output.say(f"{name:<{_WIDTH}} {value}")
