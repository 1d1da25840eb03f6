"""What keeps the record of keys as it was written, by the means of revisions 0003 and 0006."""

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions.audit_0003 import _on_postgresql
from session_router.database.definitions.definition import Definition

_TABLE: Final = "key_events"
_REFUSAL: Final = f"{_TABLE} is append-only"


def made_by_0008(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The triggers of the record of keys."""
    if dialect == "sqlite":
        return [
            Definition(
                name,
                f"CREATE TRIGGER {name} BEFORE {change} ON {_TABLE} {when}"
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
                f"DROP TRIGGER IF EXISTS {name}",
            )
            for name, change, when in (
                (f"{_TABLE}_no_update", "UPDATE", ""),
                (f"{_TABLE}_no_delete", "DELETE", ""),
                (f"{_TABLE}_no_replace", "INSERT", _REPLACES),
            )
        ]
    assert schema is not None
    return _on_postgresql(schema, _TABLE)


# INSERT OR REPLACE deletes without firing any trigger but an insert's.
_REPLACES: Final = (
    f"WHEN EXISTS (SELECT 1 FROM {_TABLE} WHERE event_id = NEW.event_id "  # noqa: S608 - our names
    "OR (key_id = NEW.key_id AND event = NEW.event)) "
)
