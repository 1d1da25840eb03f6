"""What hooks were not to be told: seen, and sent again."""

from starlette.requests import Request
from starlette.responses import Response

from session_router import problems
from session_router.access import Scope
from session_router.console import pages
from session_router.console.render import rendered
from session_router.console.requests import (
    caller_of,
    check_sender,
    form_of,
    number_of,
    served,
)
from session_router.problems import ProblemError


async def hooks(request: Request) -> Response:
    """What was given up."""
    caller = await caller_of(request, Scope.READ)
    return rendered("hooks.html", **pages.who(caller), **await pages.dead_shown(request, caller))


async def send_again(request: Request) -> Response:
    """Owe again what was given up, one delivery or all; answers with what is left."""
    check_sender(request)
    caller = await caller_of(request, Scope.OPERATE)
    if caller.owner is not None:
        raise ProblemError(
            problems.FORBIDDEN,
            f"the key of {caller.name!a} is for the sessions of {caller.owner!a} only, and hooks "
            "are nobody's in particular; sign in with another one.",
        )
    given = (await form_of(request)).get("delivery_id")
    which = None if given is None else [number_of(given, "delivery_id")]
    await served(request).hooks.send_again(which)
    return rendered("hooks.html", **pages.who(caller), **await pages.dead_shown(request, caller))
