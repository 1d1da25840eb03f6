"""What keeps a worker known when its row is gone, in the transaction that takes the row out.

A trigger on `workers`, so that workers of the release before are kept as well. On PostgreSQL its
function runs with its owner's rights: nobody else can say that a worker was lost.

Code of this revision notes in the row, before it deletes it, whether the worker stopped or was
lost. Where nothing is noted, the age of the last heartbeat tells: who stops has just given one, who
is reaped has not for a lease.
"""

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions.definition import Definition

FUNCTION: Final = "keep_past_workers"
_TRIGGER: Final = "workers_past"
_SILENT_SEC: Final = 15
"""Half of the lease that there is by default, and three heartbeats."""

_COLUMNS: Final = "worker_id, host, pid, version, started_at, ended_at, how"
# Somebody may have entered a worker again by hand.
_AGAIN: Final = """ON CONFLICT (worker_id) DO UPDATE SET ended_at = excluded.ended_at,
        how = excluded.how"""
_FUNCTION: Final = """
CREATE FUNCTION {s}.keep_past_workers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO {s}.past_workers ({columns})
    SELECT g.worker_id, g.host, g.pid, g.version, g.started_at, clock_timestamp(),
        coalesce(g.ending, CASE
            WHEN g.heartbeat_at < clock_timestamp() - interval '{silent} seconds' THEN 'lost'
            ELSE 'stopped' END)
    FROM gone g
    {again};
    RETURN NULL;
END
$$
"""
_ON_SQLITE: Final = """
CREATE TRIGGER {trigger} AFTER DELETE ON workers
BEGIN
    INSERT INTO past_workers ({columns})
    VALUES (OLD.worker_id, OLD.host, OLD.pid, OLD.version, OLD.started_at,
        strftime('%Y-%m-%d %H:%M:%f000', 'now'),
        coalesce(OLD.ending, CASE
            WHEN OLD.heartbeat_at < strftime('%Y-%m-%d %H:%M:%f000', 'now', '-{silent} seconds')
                THEN 'lost'
            ELSE 'stopped' END))
    {again};
END
"""


def made_by_0013(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The trigger, and on PostgreSQL its function."""
    said = {"columns": _COLUMNS, "silent": _SILENT_SEC, "again": _AGAIN}
    if dialect == "sqlite":
        text = _ON_SQLITE.format(trigger=_TRIGGER, **said)
        return [Definition(_TRIGGER, text.strip(), f"DROP TRIGGER IF EXISTS {_TRIGGER}")]
    on = f"{schema}.workers"
    return [
        Definition(
            FUNCTION,
            _FUNCTION.format(s=schema, **said).strip(),
            f"DROP FUNCTION IF EXISTS {schema}.{FUNCTION}()",
        ),
        Definition(
            _TRIGGER,
            f"CREATE TRIGGER {_TRIGGER} AFTER DELETE ON {on} REFERENCING OLD TABLE AS gone "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{FUNCTION}()",
            f"DROP TRIGGER IF EXISTS {_TRIGGER} ON {on}",
        ),
    ]
