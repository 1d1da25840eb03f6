"""Signing in with a key, and out."""

from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from session_router import problems
from session_router.console.render import rendered
from session_router.console.requests import COOKIE, check_sender, form_of, home, served
from session_router.problems import ProblemError

LASTS: Final = timedelta(hours=12)
"""How long somebody stays signed in: a shift on call."""


async def show(request: Request) -> Response:
    """The page that asks for a key."""
    callers = served(request).callers
    if callers is None or await callers.is_open():
        return RedirectResponse("./", 303)
    return rendered("sign_in.html")


async def sign_in(request: Request) -> Response:
    """Take a key, and have the browser keep a pass in its place."""
    check_sender(request)
    token = (await form_of(request)).get("key", "").strip()
    callers = served(request).callers
    written = None if callers is None else await callers.pass_of(token, LASTS)
    if written is None:
        raise ProblemError(
            problems.UNAUTHENTICATED,
            "this key is not known, or has expired, or was revoked; give one that "
            "'session-router keys create' made.",
        )
    response = Response(status_code=204, headers={"HX-Redirect": "./"})
    _keep(request, response, written, int(LASTS.total_seconds()))
    return response


async def sign_out(request: Request) -> Response:
    """Have the browser forget the pass."""
    check_sender(request)
    response = Response(status_code=204, headers={"HX-Redirect": "sign-in"})
    _keep(request, response, "", 0)
    return response


def _keep(request: Request, response: Response, written: str, seconds: int) -> None:
    # What ends TLS in front of the service takes the scheme away; the browser tells it.
    origin = request.headers.get("origin", "")
    response.set_cookie(
        COOKIE,
        written,
        max_age=seconds,
        path=home(request),
        secure=request.url.scheme == "https" or origin.startswith("https://"),
        httponly=True,
        samesite="strict",
    )
