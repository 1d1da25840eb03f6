"""What refuses an event whose time is not the database's own, so that none can be backdated.

The condition stands before the trigger's function, so a time that is right costs one comparison. It
fires for those who write, not where rows are replicated, which may take longer than a minute.
"""

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions.definition import Definition

_FUNCTION: Final = "refuse_time"
_TRIGGER: Final = "session_events_own_time"
_REFUSAL: Final = "an event is refused: its time is off by more than a minute"
_ON_POSTGRESQL: Final = """
CREATE FUNCTION {s}.refuse_time() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '{refusal}: it is %, and the database has %', NEW.occurred_at,
        clock_timestamp() USING ERRCODE = 'insufficient_privilege';
END
$$
"""
_ON_SQLITE: Final = """
CREATE TRIGGER {trigger} BEFORE INSERT ON session_events
WHEN NEW.occurred_at NOT BETWEEN strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 minute')
    AND strftime('%Y-%m-%d %H:%M:%f000', 'now', '+1 minute')
BEGIN SELECT RAISE(ABORT, '{refusal}'); END
"""


def made_by_0014(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The trigger, and on PostgreSQL its function."""
    if dialect == "sqlite":
        text = _ON_SQLITE.format(trigger=_TRIGGER, refusal=_REFUSAL)
        return [Definition(_TRIGGER, text.strip(), f"DROP TRIGGER IF EXISTS {_TRIGGER}")]
    text = _ON_POSTGRESQL.format(s=schema, refusal=_REFUSAL)
    on = f"{schema}.session_events"
    return [
        Definition(_FUNCTION, text.strip(), f"DROP FUNCTION IF EXISTS {schema}.{_FUNCTION}()"),
        Definition(
            _TRIGGER,
            f"CREATE TRIGGER {_TRIGGER} BEFORE INSERT ON {on} FOR EACH ROW "
            "WHEN (NEW.occurred_at NOT BETWEEN pg_catalog.clock_timestamp() - interval '1 minute' "
            "AND pg_catalog.clock_timestamp() + interval '1 minute') "
            f"EXECUTE FUNCTION {schema}.{_FUNCTION}()",
            f"DROP TRIGGER IF EXISTS {_TRIGGER} ON {on}",
        ),
    ]
