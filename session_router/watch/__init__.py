"""What streams, where, and what is owed: read for those who look on, in a browser or a terminal."""

from session_router.watch.watch import Watch

__all__ = ["Watch"]
