"""The demo: a few agents that stream for a newcomer to look at, and to stop."""

from session_router.demo.readers import READERS, REST_SEC, WORD_SEC, Reader, read_aloud

__all__ = ["READERS", "REST_SEC", "WORD_SEC", "Reader", "read_aloud"]
