"""The HTTP service, thin over the manager; needs the extra `http`."""

from session_router.http.app import create_app
from session_router.http.server import run, serve

__all__ = ["create_app", "run", "serve"]
