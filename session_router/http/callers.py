"""What each route asks of its caller: a key with a scope, once there is any key."""

from typing import Annotated, Any, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

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
    """Who calls, with a key that has all of the scopes."""
    caller = await _known_caller(request, given)
    if missing := [scope for scope in needed.scopes if scope not in caller.scopes]:
        raise _forbidden(caller, missing[0])
    return caller


async def _toucher(request: Request, needed: SecurityScopes, given: _Given) -> Caller:
    """Who touches a session: an agent does so while items flow."""
    caller = await _known_caller(request, given)
    if Scope.AGENT not in caller.scopes and Scope.OPERATE not in caller.scopes:
        raise _forbidden(caller, needed.scopes[0])
    return caller


async def _known_caller(request: Request, given: HTTPAuthorizationCredentials | None) -> Caller:
    callers: Callers | None = request.app.state.callers
    if callers is None or (given is None and await callers.is_open()):
        return ANYBODY
    if given is None:
        raise _unauthenticated(f"this service asks for a key; {_HOW}", "")
    caller = await callers.caller_of(given.credentials)
    if caller is None:
        raise _unauthenticated(
            f"the key is not known, or has expired, or was revoked; {_HOW}",
            ', error="invalid_token"',
        )
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


READS: Final = _needing(Scope.READ)
OPERATES: Final = _needing(Scope.OPERATE)
IS_AGENT: Final = _needing(Scope.AGENT)
TOUCHES: Final = Security(_toucher, scopes=[Scope.OPERATE])
"""For the `dependencies` of a route."""
OR_IS_AGENT: Final[dict[str, Any]] = {"security": [{_BEARER.scheme_name: [Scope.AGENT.value]}]}
"""For the `openapi_extra` of a route that takes another scope in place of the first one."""

Operator = Annotated[Caller, OPERATES]
Agent = Annotated[Caller, IS_AGENT]
