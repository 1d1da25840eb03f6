"""`session-router hooks`: which other systems are told of ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from session_router.cli import output
from session_router.cli.connection import refuse_other_versions
from session_router.cli.exit_codes import UnknownHookError
from session_router.cli.near import one_of
from session_router.cli.options import DatabaseUrl, Json, settings_of, target_of
from session_router.cli.words import HOOK_EVENTS, completed

if TYPE_CHECKING:
    from session_router.hooks.hook import DeadDelivery, Hook, NewHook
    from session_router.hooks.store import HookStore
    from session_router.settings import Settings

_PAGE: Final = 500


def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to send: http or https.")],
    event: Annotated[
        list[str],
        typer.Option(
            help=f"What to tell: {', '.join(HOOK_EVENTS)}. May be given again.",
            autocompletion=completed(HOOK_EVENTS),
        ),
    ],
    owner: Annotated[
        str | None,
        typer.Option(metavar="OWNER", help="Only of this owner's sessions.", show_default=False),
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Its address may be a private one.")
    ] = False,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Have a system told, and print its secret.

    The secret signs what the system is sent.
    """
    from session_router.hooks.hook import NewHook

    for each in event:
        one_of(HOOK_EVENTS, each, "--event")
    new = NewHook.to_url(url, event, owner, allows_private=allow_private)
    hook = asyncio.run(_add(settings_of(database_url), new))
    if as_json:
        output.show_json(_json_of(hook) | {"secret": hook.secret})
        return
    output.note(f"hook {hook.hook_id}; its secret, for who verifies the signatures:")
    output.say(hook.secret or "")


def list_hooks(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """List who is told of what. With --json one JSON document a line."""
    found = asyncio.run(_list(settings_of(database_url)))
    if as_json:
        for hook in found:
            output.show_json(_json_of(hook))
    elif not found:
        output.note("there is no hook")
    else:
        output.show_rows(
            ("hook", "told at", "events", "owner", "created (UTC)"),
            (_cells(hook) for hook in found),
            flexible=("told at", "events", "owner"),
        )


def remove(
    hook_id: Annotated[str, typer.Argument(metavar="HOOK_ID", help="See 'hooks list'.")],
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Tell a system nothing more.

    What it is owed is forgotten.
    """
    if not asyncio.run(_remove(settings_of(database_url), hook_id)):
        raise UnknownHookError(f"there is no hook {hook_id!a}; see 'session-router hooks list'.")
    if as_json:
        output.show_json({"removed": hook_id})
    else:
        output.say(f"removed: {output.escape(hook_id)}")


def dead(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """List what was given up.

    That is some three days after the first attempt. With --json one JSON document a line.
    """
    found = asyncio.run(_dead(settings_of(database_url)))
    if as_json:
        for delivery in found:
            output.show_json(_json_of_dead(delivery))
    elif not found:
        output.note("nothing was given up")
    else:
        output.show_rows(
            ("delivery", "hook", "event", "session", "attempts", "given up (UTC)", "last error"),
            (_cells_of_dead(delivery) for delivery in found),
            flexible=("session", "last error"),
        )


def send_again(
    delivery_ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="[DELIVERY]...", help="These; without any, all that are dead."),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Try again what was given up.

    With as many attempts as at first.
    """
    revived = asyncio.run(_send_again(settings_of(database_url), delivery_ids))
    if as_json:
        output.show_json({"to_be_sent_again": revived})
    else:
        output.say(f"to be sent again: {revived}")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[HookStore]:
    from session_router.hooks.store import HookStore

    await refuse_other_versions(target_of(settings))
    url = settings.database_url.get_secret_value()
    async with HookStore.opened(url, schema=settings.database_schema) as store:
        yield store


async def _add(settings: Settings, hook: NewHook) -> Hook:
    async with _opened(settings) as store:
        return await store.put(hook)


async def _list(settings: Settings) -> list[Hook]:
    async with _opened(settings) as store:
        return await store.all()


async def _remove(settings: Settings, hook_id: str) -> bool:
    async with _opened(settings) as store:
        return await store.remove(hook_id)


async def _dead(settings: Settings) -> list[DeadDelivery]:
    async with _opened(settings) as store:
        found: list[DeadDelivery] = []
        while page := await store.dead(after=found[-1].delivery_id if found else 0, limit=_PAGE):
            found += page
        return found


async def _send_again(settings: Settings, delivery_ids: Sequence[int] | None) -> int:
    async with _opened(settings) as store:
        return await store.send_again(delivery_ids or None)


def _cells(hook: Hook) -> tuple[str, ...]:
    return (
        hook.hook_id,
        hook.url or "a callback",
        ", ".join(sorted(hook.events)),
        hook.owner or "",
        output.moment(hook.created_at, "seconds"),
    )


def _json_of(hook: Hook) -> dict[str, object]:
    return {
        "hook_id": hook.hook_id,
        "url": hook.url,
        "events": sorted(hook.events),
        "owner": hook.owner,
        "allows_private": hook.allows_private,
        "created_at": output.utc(hook.created_at),
    }


def _cells_of_dead(delivery: DeadDelivery) -> tuple[str, ...]:
    return (
        str(delivery.delivery_id),
        delivery.hook_id,
        str(delivery.event_id),
        delivery.session_id,
        str(delivery.attempts),
        output.moment(delivery.dead_at, "seconds"),
        delivery.last_error,
    )


def _json_of_dead(delivery: DeadDelivery) -> dict[str, object]:
    return {
        "delivery_id": delivery.delivery_id,
        "hook_id": delivery.hook_id,
        "event_id": delivery.event_id,
        "session_id": delivery.session_id,
        "attempts": delivery.attempts,
        "last_error": delivery.last_error,
        "dead_at": output.utc(delivery.dead_at),
    }
