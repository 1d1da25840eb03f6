"""`session-router keys`: who may call the service, and for what."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from session_router.cli import output
from session_router.cli.connection import opened_keys
from session_router.cli.exit_codes import UnknownKeyError
from session_router.cli.near import one_of
from session_router.cli.options import (
    Actor,
    DatabaseUrl,
    Json,
    actor_or_login,
    duration_of,
    settings_of,
)
from session_router.cli.words import SCOPES, completed
from session_router.text import check_free_text

if TYPE_CHECKING:
    from session_router.access import ApiKey, NewKey
    from session_router.settings import Settings


def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Who it is for: the actor in the trail.")
    ],
    scope: Annotated[
        list[str],
        typer.Option(
            help=f"What it may be used for: {', '.join(SCOPES)}. May be given again.",
            autocompletion=completed(SCOPES),
        ),
    ],
    owner: Annotated[
        str | None,
        typer.Option(metavar="OWNER", help="Only for this owner's sessions.", show_default=False),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="When it expires, such as 90d.", show_default=False),
    ] = None,
    actor: Actor = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Make a key, and print it: nobody can tell it later.

    `read` looks, `operate` starts, touches, ends and interrupts, `agent` registers streams,
    `admin` makes keys and erases.
    """
    from session_router.access import NewKey

    for each in scope:
        one_of(SCOPES, each, "--scope")
    key = NewKey.of(name, scope, owner)
    within = duration_of(expires, "--expires")
    by = check_free_text(actor_or_login(actor), "actor")
    made = asyncio.run(_create(settings_of(database_url), key, within, by))
    if as_json:
        output.show_json(_json_of(made) | {"key": key.token})
        return
    output.note(f"key {made.key_id} of {output.escape(made.name)}; it is shown this once:")
    output.say(key.token)


def list_keys(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """List all keys that ever were. With --json one JSON document a line."""
    found = asyncio.run(_list(settings_of(database_url)))
    if as_json:
        for key in found:
            output.show_json(_json_of(key))
    elif not found:
        output.note("there is no key")
    else:
        output.show_rows(
            ("key", "name", "scopes", "owner", "created (UTC)", "expires", "revoked"),
            (_cells(key) for key in found),
            flexible=("name", "owner"),
        )


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="See 'keys list'.")],
    actor: Actor = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Have a key refused from now on.

    In every process within 2 s.
    """
    by = check_free_text(actor_or_login(actor), "actor")
    revoked = asyncio.run(_revoke(settings_of(database_url), key_id, by))
    if revoked is None:
        raise UnknownKeyError(f"there is no key {key_id!a}; see 'session-router keys list'.")
    if as_json:
        output.show_json(_json_of(revoked))
    else:
        output.say(f"revoked: {revoked.key_id} of {output.escape(revoked.name)}")


async def _create(
    settings: Settings, key: NewKey, expires_in: timedelta | None, actor: str | None
) -> ApiKey:
    async with opened_keys(settings) as keys:
        return await keys.add(key, expires_in, actor)


async def _list(settings: Settings) -> list[ApiKey]:
    async with opened_keys(settings) as keys:
        return await keys.all()


async def _revoke(settings: Settings, key_id: str, actor: str | None) -> ApiKey | None:
    async with opened_keys(settings) as keys:
        return await keys.revoke(key_id, actor)


def _cells(key: ApiKey) -> tuple[str, ...]:
    from session_router.access.keys import told

    return (
        key.key_id,
        key.name,
        told(key.scopes),
        key.owner or "",
        output.moment(key.created_at, "seconds"),
        _moment(key.expires_at),
        _moment(key.revoked_at),
    )


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else output.moment(moment, "seconds")


def _json_of(key: ApiKey) -> dict[str, object]:
    from session_router.access.keys import told

    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": told(key.scopes).split(),
        "owner": key.owner,
        **{
            name: output.utc(moment)
            for name, moment in (
                ("created_at", key.created_at),
                ("expires_at", key.expires_at),
                ("revoked_at", key.revoked_at),
            )
        },
    }
