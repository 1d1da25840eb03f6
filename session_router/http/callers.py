"""What each route asks of its caller: a key with a scope, once there is any key."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Security
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


async def _caller(
    request: Request,
    needed: SecurityScopes,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> Caller:
    token = given.credentials if given is not None else None
    return await caller_of(request.app.state.callers, token, needed.scopes)


def token_of(authorization: str | None) -> str | None:
    """The key in the value of `Authorization`; None where there is none."""
    scheme, token = get_authorization_scheme_param(authorization)
    return token if token and scheme.lower() == "bearer" else None


async def caller_of(callers: Callers | None, token: str | None, needed: Iterable[str]) -> Caller:
    """Who calls with this key, or without one.

    Args:
        callers: None where who may call is seen to elsewhere.
        token: the key; None where none was given.
        needed: the scopes that the request needs.

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
    if missing := [scope for scope in needed if scope not in caller.scopes]:
        raise ProblemError(
            FORBIDDEN,
            f"the key of {caller.name!a} lacks the scope '{missing[0]}'; use another one, or have "
            f"one made by 'session-router keys create NAME --scope {missing[0]}'.",
            headers={
                "WWW-Authenticate": 'Bearer realm="session_router", error="insufficient_scope", '
                f'scope="{missing[0]}"'
            },
        )
    return caller


def _unauthenticated(detail: str, error: str) -> ProblemError:
    challenge = f'Bearer realm="session_router"{error}'
    return ProblemError(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": challenge})


def _needing(scope: Scope) -> Any:
    return Security(_caller, scopes=[scope])


READS: Final = _needing(Scope.READ)
OPERATES: Final = _needing(Scope.OPERATE)
IS_AGENT: Final = _needing(Scope.AGENT)
"""For the `dependencies` of a route."""

Operator = Annotated[Caller, OPERATES]
