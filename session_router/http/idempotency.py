"""The header `Idempotency-Key`: a name for a request, under which it is done once."""

import re
from typing import Annotated, Any, Final
from uuid import UUID, uuid5

from fastapi import Depends, Header, Request

from session_router.access.callers import Caller
from session_router.errors import InvalidValueError
from session_router.http.callers import Operator
from session_router.http.inputs import UUID_AS_EVER
from session_router.problems import (
    INVALID_REQUEST,
    KEY_REUSED,
    REFUSED,
    REQUEST_UNDER_WAY,
    documented,
)

_NAMESPACE: Final = UUID("3f0f4a3e-6a3b-5d0c-9a52-6f0f3b1d2c77")
# What the draft has is a structured field's string; what most clients send is a bare word.
_ACCEPTED: Final = r'^(?:"((?:[ !#-\[\]-~]|\\["\\]){1,255})"|([!#-+\--:<-\[\]-~]{1,255}))$'
_ESCAPED: Final = re.compile(r"\\(.)")


async def _request_id(
    request: Request,
    caller: Operator,
    given: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="A name for the request, 1 to 255 characters: a repetition with the same "
            "one does nothing more, and is answered as the first was. A UUID becomes the "
            "`request_id`.",
            json_schema_extra={"pattern": _ACCEPTED},
        ),
    ] = None,
) -> UUID | None:
    if given is None:
        return None
    if len(request.headers.getlist("Idempotency-Key")) > 1:
        raise InvalidValueError("Idempotency-Key is given more than once; send one.")
    return _named(_text_of(given), caller)


def _text_of(given: str) -> str:
    accepted = re.fullmatch(_ACCEPTED, given)
    if accepted is None:
        raise InvalidValueError(
            f"Idempotency-Key {given[:80]!a} is not acceptable; give 1 to 255 characters of ASCII "
            'in quotes, such as "8d8ac610-566d-4ef0-9c22-186b2a5ed793".'
        )
    return accepted[2] or _ESCAPED.sub(r"\1", accepted[1])


def _named(text: str, caller: Caller) -> UUID:
    """The request's name: what is no UUID yet becomes one, another one for each caller."""
    if UUID_AS_EVER.fullmatch(text):
        return UUID(text)
    return uuid5(_NAMESPACE, f"{caller.key_id or ''}:{text}")


RequestId = Annotated[UUID | None, Depends(_request_id)]
"""The name that the caller gave the request, if it gave one."""

REPETITIONS: Final = (REQUEST_UNDER_WAY, INVALID_REQUEST, REFUSED, KEY_REUSED)
"""The problems of a route that takes the header."""
MAY_BE_REPEATED: Final[dict[int | str, dict[str, Any]]] = documented(*REPETITIONS)
"""The responses of one that has no others of their statuses."""
