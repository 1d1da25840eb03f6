"""What keeps the record of keys as it was written."""

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions.append_only import append_only
from session_router.database.definitions.definition import Definition

_SAME: Final = "event_id = NEW.event_id OR (key_id = NEW.key_id AND event = NEW.event)"


def made_by_0008(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The triggers of the record of keys."""
    return append_only(dialect, schema, "key_events", _SAME)
