"""The words that some options and arguments take, for helps and for the shell's completion.

Where they are declared takes a while to import; a test compares.
"""

from collections.abc import Callable, Sequence
from typing import Final

REPORT_NAMES: Final = (
    *("sessions", "streams", "interrupts", "agents", "activity", "workers", "live", "backlog"),
    "concurrency",
)
REPORT_FORMATS: Final = ("table", "csv", "json")
EXPORT_FORMATS: Final = ("jsonl", "csv", "parquet")
STREAM_OUTCOMES: Final = (
    *("completed", "failed", "abandoned", "interrupted", "superseded", "session_ended"),
    *("session_expired", "session_replaced", "worker_lost", "worker_stopped"),
)
SCOPES: Final = ("read", "operate", "agent", "admin")
HOOK_EVENTS: Final = (
    *("session.ended", "session.expired", "session.replaced"),
    *("stream.finished", "signal.settled"),
)


def completed(words: Sequence[str]) -> Callable[[], list[str]]:
    """What completes any of these words, for `autocompletion=`."""
    return lambda: [*words]
