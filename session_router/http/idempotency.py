"""The header `Idempotency-Key`: a name for a request, under which it is done once."""

import re
from typing import Annotated, Any, Final
from uuid import UUID, uuid5

from fastapi import Depends, Header, Request

from session_router.access.callers import Caller
from session_router.errors import InvalidValueError
from session_router.http.callers import Operator
from session_router.problems import (
    INVALID_REQUEST,
    KEY_REUSED,
    REFUSED,
    REQUEST_UNDER_WAY,
    documented,
)

_NAMESPACE: Final = UUID("3f0f4a3e-6a3b-5d0c-9a52-6f0f3b1d2c77")
_LIMIT: Final = 255
# What the draft has is a structured field's string; what most clients send is a bare word.
_QUOTED: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_BARE: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
_ESCAPED: Final = re.compile(r"\\(.)")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


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
            json_schema_extra={"maxLength": 2 * _LIMIT + 2},
        ),
    ] = None,
) -> UUID | None:
    if given is None:
        return None
    if len(request.headers.getlist("Idempotency-Key")) > 1:
        raise InvalidValueError("Idempotency-Key is given more than once; send one.")
    return _named(_text_of(given), caller)


def _text_of(given: str) -> str:
    if quoted := _QUOTED.fullmatch(given):
        text = _ESCAPED.sub(r"\1", quoted[1])
    elif _BARE.fullmatch(given):
        text = given
    else:
        text = ""
    if not 1 <= len(text) <= _LIMIT:
        raise InvalidValueError(
            f"Idempotency-Key {given[:80]!a} is not acceptable; give 1 to {_LIMIT} characters of "
            'ASCII in quotes, such as "8d8ac610-566d-4ef0-9c22-186b2a5ed793".'
        )
    return text


def _named(text: str, caller: Caller) -> UUID:
    """The request's name: what is no UUID yet becomes one, another one for each caller."""
    if _UUID.fullmatch(text):
        return UUID(text)
    return uuid5(_NAMESPACE, f"{caller.key_id or ''}:{text}")


RequestId = Annotated[UUID | None, Depends(_request_id)]
"""The name that the caller gave the request, if it gave one."""

MAY_BE_REPEATED: Final[dict[int | str, dict[str, Any]]] = documented(
    REQUEST_UNDER_WAY, INVALID_REQUEST, REFUSED, KEY_REUSED
)
"""The responses of a route that takes the header."""
