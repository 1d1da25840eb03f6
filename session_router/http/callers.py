"""What each route asks of its caller: a key with a scope, once there is any key."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Security
from fastapi.params import Security as SecurityOf
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from fastapi.security.utils import get_authorization_scheme_param

from session_router.access import Scope
from session_router.access.callers import ANYBODY, Caller, Callers
from session_router.problems import FORBIDDEN, UNAUTHENTICATED, ProblemError

_BEARER: Final = HTTPBearer(
    scheme_name="key",
    bearerFormat="sr_<key_id>_<secret>",
    description="A key that 'session-router keys create' made.",
    auto_error=False,
)
_HOW: Final = "send one that 'session-router keys create' made as 'Authorization: Bearer KEY'."


_Given = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


async def _caller(request: Request, needed: SecurityScopes, given: _Given) -> Caller:
    token = None if given is None else given.credentials
    return await caller_of(request.app.state.callers, token, needed.scopes)


async def _toucher(request: Request, needed: SecurityScopes, given: _Given) -> Caller:
    """Who touches a session: an agent does so while items flow."""
    token = None if given is None else given.credentials
    return await caller_of(request.app.state.callers, token, needed.scopes, or_has=Scope.AGENT)


def also_enough(security: SecurityOf) -> Scope | None:
    """The scope that does in place of those that a route asks for."""
    return Scope.AGENT if security.dependency is _toucher else None


def token_of(authorization: str | None) -> str | None:
    """The key in the value of `Authorization`; None where there is none."""
    scheme, token = get_authorization_scheme_param(authorization)
    return token if token and scheme.lower() == "bearer" else None


async def caller_of(
    callers: Callers | None,
    token: str | None,
    needed: Iterable[str],
    *,
    or_has: Scope | None = None,
) -> Caller:
    """Who calls with this key, or without one.

    Args:
        callers: None where who may call is seen to elsewhere.
        token: the key; None where none was given.
        needed: the scopes that the request needs.
        or_has: a scope that does in their place.

    Raises:
        ProblemError: a key is needed, or is refused, or lacks a scope.
        DatabaseError, DeadlineExceededError: that cannot be known now.
    """
    if callers is None or (token is None and await callers.is_open()):
        return ANYBODY
    if token is None:
        raise _unauthenticated(f"this service asks for a key; {_HOW}", "")
    caller = await callers.caller_of(token)
    if caller is None:
        raise _unauthenticated(
            f"the key is not known, or has expired, or was revoked; {_HOW}",
            ', error="invalid_token"',
        )
    missing = [scope for scope in needed if scope not in caller.scopes]
    if missing and or_has not in caller.scopes:
        raise _forbidden(caller, missing[0])
    return caller


def _forbidden(caller: Caller, missing: str) -> ProblemError:
    return ProblemError(
        FORBIDDEN,
        f"the key of {caller.name!a} lacks the scope '{missing}'; use another one, or have "
        f"one made by 'session-router keys create NAME --scope {missing}'.",
        headers={
            "WWW-Authenticate": 'Bearer realm="session_router", error="insufficient_scope", '
            f'scope="{missing}"'
        },
    )


def _unauthenticated(detail: str, error: str) -> ProblemError:
    challenge = f'Bearer realm="session_router"{error}'
    return ProblemError(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": challenge})


def _needing(scope: Scope) -> Any:
    return Security(_caller, scopes=[scope])


Reader = Annotated[Caller, _needing(Scope.READ)]
Operator = Annotated[Caller, _needing(Scope.OPERATE)]
Agent = Annotated[Caller, _needing(Scope.AGENT)]
Toucher = Annotated[Caller, Security(_toucher, scopes=[Scope.OPERATE])]
"""A parameter of each route: who calls, with the scope that the route needs."""
OR_IS_AGENT: Final[dict[str, Any]] = {"security": [{_BEARER.scheme_name: [Scope.AGENT.value]}]}
"""For the `openapi_extra` of a route that takes another scope in place of the first one."""


def owner_for(caller: Caller, given: str | None) -> str | None:
    """On whose behalf a request is: the key's owner, or else the one that it names.

    Raises:
        ProblemError: it names another than the key's.
    """
    if caller.owner is None or given in (None, caller.owner):
        return caller.owner if given is None else given
    raise ProblemError(
        FORBIDDEN,
        f"the key of {caller.name!a} is for the sessions of {caller.owner!a} only; leave out the "
        "owner, or use another key.",
    )
