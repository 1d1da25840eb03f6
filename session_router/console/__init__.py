"""The console: a web page that shows what streams, and stops it; see docs/console.md."""

from session_router.console.app import console

__all__ = ["console"]
