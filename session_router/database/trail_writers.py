"""Who may still add an event to the trail, on PostgreSQL."""

from typing import Final

TRAIL_WRITERS: Final = """
    SELECT virtualtransaction, coalesce(pid, 0) AS pid FROM pg_locks
    WHERE locktype = 'relation' AND relation = CAST(:trail AS regclass)
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND mode = 'RowExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()
"""
"""Transactions of others that have written, or are about to write, to the table `:trail`.

Who inserts holds ROW EXCLUSIVE on it from before an event's number is drawn until the end of the
transaction.
"""
