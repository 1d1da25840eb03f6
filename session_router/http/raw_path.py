"""Ids in paths: routed while they are percent-encoded, decoded one by one afterwards.

Servers hand on a decoded path, in which the id `a%2Fevents` looks like the events of session `a`.
"""

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from session_router.errors import InvalidValueError

_BROKEN: Final = re.compile("%(?![0-9A-Fa-f]{2})")


class RawPath:
    """ASGI middleware: what is inside sees the path as it was sent, percent-encoded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": raw_path_of(scope)}
        await self._app(scope, receive, send)


class SegmentConvertor(StringConvertor):
    """One segment of a raw path. An empty one too: an empty id is refused as an id."""

    regex = "[^/]*"


register_url_convertor("segment", SegmentConvertor())


def decode_segment(segment: str) -> str:
    """Decode one segment of a raw path.

    Raises:
        InvalidValueError: it is not percent-encoded UTF-8.
    """
    if _BROKEN.search(segment):
        raise InvalidValueError(
            f"path segment {segment!a} has a % that two hexadecimal digits do not follow; "
            "write a literal % as %25."
        )
    try:
        # A plus is a plus here; only in queries is it a space.
        return unquote_to_bytes(segment.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidValueError(
            f"path segment {segment!a} is not UTF-8; percent-encode the bytes of its UTF-8 form."
        ) from None


def encode_segment(text: str) -> str:
    """Encode any text as one segment of a path."""
    # As they are, these two mean folders to whoever resolves the URL.
    return quote(text, safe="").replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def raw_path_of(scope: Scope) -> str:
    """The path as it was sent, percent-encoded, below the root path that we are mounted at."""
    root, path = scope.get("root_path", ""), scope["path"]
    sent = scope.get("raw_path")
    # A server that keeps no raw path has lost what encoded slashes there were; all else survives.
    raw = quote(path, safe="/") if sent is None else sent.partition(b"?")[0].decode("latin-1")
    if not root or not path.startswith(root):
        return raw
    # What is mounted below a root path is routed by what follows that, which is compared as text.
    return "/".join([root, *raw.split("/")[1 + root.count("/") :]])


def path_of(request: Request, *segments: str) -> str:
    """The path of these segments in the service, as clients see it."""
    root = quote(request.scope.get("root_path", ""))
    return "/".join([root, *map(encode_segment, segments)])
