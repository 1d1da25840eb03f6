"""What stops streams: one, or all that match, each with a reason, and with what became of it."""

from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from session_router import problems
from session_router.access import Scope
from session_router.checks import as_uuid
from session_router.console import pages
from session_router.console.render import rendered
from session_router.console.requests import caller_of, check_sender, form_of, served
from session_router.errors import SessionOwnedError
from session_router.problems import ProblemError
from session_router.watch.records import Wanted

_WAIT_SEC: Final = 1.0
"""A receipt that takes longer comes with the list's next refreshes."""
_DONE: Final = {"HX-Trigger": "stopped"}
"""Has the page's script close the dialog."""


async def stop_stream(request: Request) -> Response:
    """Stop one stream; answers with the part of the page that it stands in."""
    check_sender(request)
    caller = await caller_of(request, Scope.OPERATE)
    form = await form_of(request)
    try:
        did = await served(request).manager.interrupt_stream(
            form.get("session_id", ""),
            as_uuid(form.get("stream_id", ""), "stream_id"),
            actor=caller.actor(None),
            reason=form.get("reason") or None,
            wait=_WAIT_SEC,
            owner=caller.owner,
        )
    except SessionOwnedError:
        raise problems.session_not_found(form.get("session_id", "")) from None
    shown = {**pages.who(caller), "did": did}
    if "id" in form:
        shown |= await pages.session_shown(request, caller, form)
        return rendered("stopped_in_session.html", headers=_DONE, **shown)
    shown |= await pages.streams_shown(request, caller, form)
    return rendered("stopped.html", headers=_DONE, **shown)


async def ask_to_stop_all(request: Request) -> Response:
    """How many streams match, in a form that stops them."""
    caller = await caller_of(request, Scope.OPERATE)
    wanted = Wanted.of(request.query_params, caller.owner)
    meant = wanted.matching
    counted = await served(request).manager.interrupt_all(
        agent_type=meant.agent_type,
        worker_id=meant.worker_id,
        older_than=meant.older_than,
        owner=meant.owner,
        dry_run=True,
    )
    return rendered("stop_all.html", wanted=wanted, counted=counted)


async def stop_all(request: Request) -> Response:
    """Stop all streams that match; answers with what counts their receipts."""
    check_sender(request)
    caller = await caller_of(request, Scope.OPERATE)
    form = await form_of(request)
    wanted = Wanted.of(form, caller.owner)
    if wanted.prefix:
        raise ProblemError(
            problems.INVALID_REQUEST,
            "streams cannot be stopped by the beginning of their session's id; clear that field, "
            "or stop them one by one.",
        )
    meant = wanted.matching
    did = await served(request).manager.interrupt_all(
        agent_type=meant.agent_type,
        worker_id=meant.worker_id,
        older_than=meant.older_than,
        owner=meant.owner,
        actor=caller.actor(None),
        reason=form.get("reason") or None,
    )
    return await _receipts(request, did.request_id, caller.owner, headers=_DONE)


async def receipts(request: Request) -> Response:
    """What became of an interrupt of many streams so far."""
    caller = await caller_of(request, Scope.READ)
    request_id = as_uuid(request.query_params.get("request_id", ""), "request_id")
    return await _receipts(request, request_id, caller.owner)


async def _receipts(
    request: Request,
    request_id: UUID,
    owner: str | None,
    headers: dict[str, str] | None = None,
) -> Response:
    found = await served(request).manager.receipts(request_id, owner=owner)
    return rendered("receipts.html", headers=headers, request_id=request_id, receipts=found)
