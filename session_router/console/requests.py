"""What a request of the console says: who sends it, and what its form holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote

from starlette.requests import Request

from session_router import problems
from session_router.access import Scope
from session_router.access.callers import ANYBODY, Caller, Callers
from session_router.console.series import History
from session_router.errors import InvalidValueError
from session_router.hooks import HookStore
from session_router.manager import SessionManager
from session_router.origins import other_site
from session_router.problems import ProblemError
from session_router.watch import Watch

COOKIE: Final = "session_router_console"
_FIELDS: Final = 30
_LARGEST: Final = 2**63 - 1


class SignInNeededError(Exception):
    """Nobody is signed in, or not any more."""


@dataclass(frozen=True)
class Served:
    """What the console serves.

    Attributes:
        callers: None where who may call is seen to elsewhere.
    """

    manager: SessionManager
    watch: Watch
    history: History
    hooks: HookStore
    callers: Callers | None


def served(request: Request) -> Served:
    found: Served = request.app.state.served
    return found


async def caller_of(request: Request, needed: Scope) -> Caller:
    """Who is signed in; anybody, where no key is asked for.

    Raises:
        SignInNeededError: nobody is.
        ProblemError: the key lacks the scope.
        DatabaseError, DeadlineExceededError: that cannot be known now.
    """
    caller = await _signed_in(served(request).callers, request.cookies.get(COOKIE))
    if needed not in caller.scopes:
        raise ProblemError(
            problems.FORBIDDEN,
            f"the key of {caller.name!a} lacks the scope '{needed}'; sign in with another one, or "
            f"have one made by 'session-router keys create NAME --scope read --scope {needed}'.",
        )
    return caller


async def _signed_in(callers: Callers | None, written: str | None) -> Caller:
    if callers is None:
        return ANYBODY
    caller = None if written is None else await callers.caller_of_pass(written)
    if caller is None and await callers.is_open():
        return ANYBODY
    if caller is None:
        raise SignInNeededError
    return caller


def is_of_page(request: Request) -> bool:
    """Whether htmx sent it, from within a page of ours."""
    return request.headers.get("hx-request") == "true"


def check_sender(request: Request) -> None:
    """Refuse what a page of another site has sent.

    No other site's page can send the header of htmx: a browser would ask us first, and is told no.
    Nor does it get the cookie along. What a browser says of the page's site is looked at besides.

    Raises:
        ProblemError: it may come from one.
    """
    headers = request.headers
    site = other_site(
        headers.getlist("host"), headers.getlist("origin"), headers.getlist("sec-fetch-site")
    )
    if site is not None or not is_of_page(request):
        raise ProblemError(
            problems.CROSS_SITE,
            "only the console's own pages may change anything here; programs use the API.",
        )


async def form_of(request: Request) -> Mapping[str, str]:
    """The fields of a form; of one that is given twice the last.

    Raises:
        ProblemError: the body is no form.
    """
    try:
        body = (await request.body()).decode("ascii")
        return dict(
            parse_qsl(body, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
        )
    except ValueError:
        raise ProblemError(problems.INVALID_REQUEST, "the form cannot be read.") from None


def number_of(given: str, what: str) -> int:
    """A number that the database has counted.

    Raises:
        InvalidValueError: it cannot be one.
    """
    if not (given.isascii() and given.isdecimal() and len(given) < 20 and int(given) <= _LARGEST):
        raise InvalidValueError(f"{what} {given[:80]!a} is no number here; load the page again.")
    return int(given)


def home(request: Request) -> str:
    """The path that the console is at, with a slash behind."""
    return quote(request.scope.get("root_path", "")) + "/"
