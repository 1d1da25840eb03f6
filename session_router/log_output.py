"""How a long-running command writes the log to stderr: a text, or a JSON object, a line."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from session_router.settings import LogFormat, LogLevel

_OURS: Final = "session_router"


def write_log(form: LogFormat, level: LogLevel) -> None:
    """Write to stderr what is logged in this process, and in those that are forked off it.

    Of other packages only warnings and errors, at whichever level; Python's own warnings, too. A
    log that is set up already stays as it is.

    Args:
        form: of each line.
        level: from which on this package tells of something.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler()
    handler.setLevel(least)
    handler.setFormatter(_AsJson() if form == "json" else _AsText())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger(_OURS).setLevel(least)
    logging.captureWarnings(True)


def _time(record: logging.LogRecord) -> str:
    """In UTC, as the trail has its times, whatever the machine's zone."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _AsText(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        return _time(record)


class _AsJson(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Of our lines the message is the event's name, and each field is one of the object's."""
        told: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
        }
        if fields := getattr(record, "session_router", None):
            told |= fields
        else:
            told["message"] = record.getMessage()
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)
