"""What puts an event into the outbox of each hook that is told of it, in the event's transaction.

A trigger on the trail, so that whatever writes there is told, workers of the release before
included. On PostgreSQL its function runs with its owner's rights: a role that may append to the
trail need not be granted anything more. Who has no hook pays for one look at an empty table a
statement.
"""

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions.definition import Definition

FUNCTION: Final = "put_hook_deliveries"
_TRIGGER: Final = "session_events_hooks"
_TOLD: Final = (
    "'session_ended', 'session_expired', 'session_replaced', 'stream_finished', 'signal_settled'"
)
# In the words of the index on lives that have an owner.
_IS_OWNERS: Final = """h.owner IS NULL OR EXISTS (
                SELECT 1 FROM {p}session_events o
                WHERE o.session_uid = {event}.session_uid AND o.event = 'session_started'
                    AND o.detail IS NOT NULL AND o.detail = h.owner
            )"""
_FUNCTION: Final = """
CREATE FUNCTION {s}.put_hook_deliveries() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM {s}.hooks) THEN
        INSERT INTO {s}.hook_deliveries (hook_id, event_id, session_id, attempts, due_at)
        SELECT h.hook_id, f.event_id, f.session_id, 0, clock_timestamp()
        FROM fresh f
        JOIN {s}.hooks h ON f.event = ANY (string_to_array(h.events, ' '))
        WHERE f.event IN ({told}) AND ({is_owners})
        ORDER BY f.event_id;
    END IF;
    RETURN NULL;
END
$$
"""
_ON_SQLITE: Final = """
CREATE TRIGGER {trigger} AFTER INSERT ON session_events WHEN NEW.event IN ({told})
BEGIN
    INSERT INTO hook_deliveries (hook_id, event_id, session_id, attempts, due_at)
    SELECT h.hook_id, NEW.event_id, NEW.session_id, 0, strftime('%Y-%m-%d %H:%M:%f000', 'now')
    FROM hooks h
    WHERE instr(' ' || h.events || ' ', ' ' || NEW.event || ' ') > 0 AND ({is_owners});
END
"""


def made_by_0010(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The trigger, and on PostgreSQL its function."""
    if dialect == "sqlite":
        is_owners = _IS_OWNERS.format(p="", event="NEW")
        text = _ON_SQLITE.format(trigger=_TRIGGER, told=_TOLD, is_owners=is_owners)
        return [Definition(_TRIGGER, text.strip(), f"DROP TRIGGER IF EXISTS {_TRIGGER}")]
    is_owners = _IS_OWNERS.format(p=f"{schema}.", event="f")
    text = _FUNCTION.format(s=schema, told=_TOLD, is_owners=is_owners)
    on = f"{schema}.session_events"
    return [
        Definition(FUNCTION, text.strip(), f"DROP FUNCTION IF EXISTS {schema}.{FUNCTION}()"),
        Definition(
            _TRIGGER,
            f"CREATE TRIGGER {_TRIGGER} AFTER INSERT ON {on} REFERENCING NEW TABLE AS fresh "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{FUNCTION}()",
            f"DROP TRIGGER IF EXISTS {_TRIGGER} ON {on}",
        ),
    ]
