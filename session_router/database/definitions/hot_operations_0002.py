"""Touch, start, register and finish for many at once, as functions on PostgreSQL.

Each is called in a transaction of its own, so a whole batch costs one way to the server. They do
the common case; what they leave out is told, and goes the long way alone, in which nothing is
skipped: rows that somebody holds, a stream that is taken over, a worker that was reaped.

The lock rules hold within: rows are locked in key order and never waited for (SKIP LOCKED), and
what depends on a lock is read in a later statement, or written so that a lost race shows. Only
who creates what another transaction is just creating has to wait; not for long, or the batch
fails as a whole, and each goes alone.

Why functions: `agent_streams` lives on inserts and deletes, so a plan that was made while it was
small is ruinous a minute later. Here the planner is kept off the whole table, by settings that
hold inside the function only, and by comparing key columns with arrays.
"""

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions.definition import Definition

_TOUCH: Final = """
CREATE FUNCTION {s}.touch_sessions(ids text[], resolution interval)
RETURNS TABLE (
    session_id text, start_time timestamptz, last_updated timestamptz, agents text[],
    is_busy boolean
)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    began CONSTANT timestamptz := clock_timestamp();
    held text[];
    places tid[];
    found integer;
BEGIN
    -- The sum keeps the planner off the index on last_updated, which finds every idle session.
    SELECT array_agg(l.session_id), array_agg(l.place) INTO held, places
    FROM (
        SELECT s.session_id, s.ctid AS place FROM {s}.sessions s
        WHERE s.session_id = ANY (ids) AND s.last_updated + resolution <= began
        ORDER BY s.session_id
        FOR NO KEY UPDATE SKIP LOCKED
    ) l;
    -- Whoever holds a row's lock knows its place.
    RETURN QUERY
    UPDATE {s}.sessions s SET last_updated = greatest(s.last_updated, clock_timestamp())
    WHERE s.ctid = ANY (places)
    RETURNING s.session_id, s.start_time, s.last_updated,
        ARRAY(
            SELECT a.agent_type || '/' || a.agent_key FROM {s}.agent_streams a
            WHERE a.session_id = s.session_id
        ),
        false;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found < cardinality(ids) THEN
        RETURN QUERY
        SELECT s.session_id, s.start_time, s.last_updated,
            ARRAY(
                SELECT a.agent_type || '/' || a.agent_key FROM {s}.agent_streams a
                WHERE a.session_id = s.session_id
            ),
            s.last_updated + resolution <= began
        FROM {s}.sessions s
        WHERE s.session_id = ANY (ids) AND (found = 0 OR s.session_id <> ALL (held));
    END IF;
END
$$
"""

_START: Final = """
CREATE FUNCTION {s}.start_sessions(
    ids text[], uids uuid[], workers uuid[], resolution interval
)
RETURNS TABLE (
    session_id text, start_time timestamptz, last_updated timestamptz, agents text[],
    is_busy boolean
)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_nestloop = off SET enable_mergejoin = off SET lock_timeout = '100ms' AS $$
#variable_conflict use_column
DECLARE
    found integer;
    moment timestamptz;
BEGIN
    RETURN QUERY SELECT * FROM {s}.touch_sessions(ids, resolution);
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found = cardinality(ids) THEN
        RETURN;
    END IF;
    moment := clock_timestamp();
    RETURN QUERY
    WITH made AS (
        INSERT INTO {s}.sessions (session_id, session_uid, start_time, last_updated)
        SELECT u.session_id, u.session_uid, moment, moment
        FROM unnest(ids, uids) u (session_id, session_uid)
        WHERE NOT EXISTS (
            SELECT FROM {s}.sessions s
            WHERE s.session_id = ANY (ids) AND s.session_id = u.session_id
        )
        ORDER BY u.session_id COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING session_id, session_uid
    ), told AS (
        INSERT INTO {s}.session_events (occurred_at, session_id, session_uid, event, worker_id)
        SELECT moment, m.session_id, m.session_uid, 'session_started', u.worker_id
        FROM made m
        JOIN unnest(uids, workers) u (session_uid, worker_id) ON u.session_uid = m.session_uid
        ORDER BY m.session_id
    )
    SELECT m.session_id, moment, moment, '{{}}'::text[], false FROM made m;
END
$$
"""

_REGISTER: Final = """
CREATE FUNCTION {s}.register_streams(
    ids text[], types text[], keys text[], stream_ids uuid[], workers uuid[], uids uuid[]
)
RETURNS TABLE (stream_id uuid)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_nestloop = off SET enable_mergejoin = off SET lock_timeout = '100ms' AS $$
#variable_conflict use_column
DECLARE
    fenced uuid[];
    touched text[];
    held_ids text[];
    held_uids uuid[];
BEGIN
    fenced := ARRAY(
        SELECT w.worker_id FROM {s}.workers w WHERE w.worker_id = ANY (workers)
        ORDER BY w.worker_id
        FOR KEY SHARE
    );
    IF NOT workers <@ fenced THEN
        RETURN;
    END IF;
    touched := ARRAY(
        SELECT s.session_id FROM {s}.start_sessions(ids, uids, workers, '0') s
        WHERE NOT s.is_busy
    );
    -- One that was touched just now by somebody else is not held yet, and may be ending.
    SELECT array_agg(l.session_id), array_agg(l.session_uid) INTO held_ids, held_uids
    FROM (
        SELECT s.session_id, s.session_uid FROM {s}.sessions s
        WHERE s.session_id = ANY (touched)
        ORDER BY s.session_id
        FOR NO KEY UPDATE SKIP LOCKED
    ) l;
    RETURN QUERY
    WITH held AS (
        SELECT h.session_id, h.session_uid
        FROM unnest(held_ids, held_uids) h (session_id, session_uid)
    ), opened AS (
        INSERT INTO {s}.agent_streams
            (session_id, agent_type, agent_key, stream_id, worker_id, started_at)
        SELECT h.session_id, u.agent_type, u.agent_key, u.stream_id, u.worker_id,
            clock_timestamp()
        FROM unnest(ids, types, keys, stream_ids, workers)
            u (session_id, agent_type, agent_key, stream_id, worker_id)
        JOIN held h ON h.session_id = u.session_id
        ORDER BY h.session_id COLLATE "C", u.agent_type COLLATE "C", u.agent_key COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING session_id, agent_type, agent_key, stream_id, worker_id, started_at
    ), told AS (
        INSERT INTO {s}.session_events
            (occurred_at, session_id, session_uid, event,
             agent_type, agent_key, stream_id, worker_id)
        SELECT o.started_at, o.session_id, h.session_uid, 'stream_started',
            o.agent_type, o.agent_key, o.stream_id, o.worker_id
        FROM opened o
        JOIN held h ON h.session_id = o.session_id
        ORDER BY o.session_id, o.agent_type, o.agent_key
    )
    SELECT o.stream_id FROM opened o;
END
$$
"""

_FINISH: Final = """
CREATE FUNCTION {s}.finish_streams(
    ids text[], types text[], keys text[], stream_ids uuid[], workers uuid[],
    outcomes text[], details text[]
)
RETURNS TABLE (number bigint, stream_id uuid)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH meant AS (
        SELECT u.number, u.outcome, u.detail,
            a.session_id, a.agent_type, a.agent_key, a.stream_id, a.worker_id, a.started_at
        FROM unnest(ids, types, keys, stream_ids, workers, outcomes, details) WITH ORDINALITY
            u (session_id, agent_type, agent_key, stream_id, worker_id, outcome, detail, number)
        JOIN {s}.agent_streams a ON a.session_id = u.session_id
            AND a.agent_type = u.agent_type AND a.agent_key = u.agent_key
            AND (a.stream_id = u.stream_id OR (u.stream_id IS NULL AND a.worker_id = u.worker_id))
        ORDER BY a.session_id, a.agent_type, a.agent_key
        FOR UPDATE OF a SKIP LOCKED
    ), ended AS (
        DELETE FROM {s}.agent_streams a USING meant m
        WHERE a.session_id = m.session_id
            AND a.agent_type = m.agent_type AND a.agent_key = m.agent_key
        RETURNING m.*
    ), told AS (
        INSERT INTO {s}.session_events
            (occurred_at, session_id, session_uid, event, agent_type, agent_key,
             stream_id, worker_id, started_at, outcome, detail)
        SELECT clock_timestamp(), e.session_id, s.session_uid, 'stream_finished',
            e.agent_type, e.agent_key, e.stream_id, e.worker_id, e.started_at, e.outcome, e.detail
        FROM ended e
        JOIN {s}.sessions s ON s.session_id = e.session_id
        ORDER BY e.session_id, e.agent_type, e.agent_key
    )
    SELECT e.number, e.stream_id FROM ended e
    UNION ALL
    -- Found, and not to be had: no stream_id says so.
    SELECT u.number, NULL
    FROM unnest(ids, types, keys, stream_ids, workers) WITH ORDINALITY
        u (session_id, agent_type, agent_key, stream_id, worker_id, number)
    JOIN {s}.agent_streams a ON a.session_id = u.session_id
        AND a.agent_type = u.agent_type AND a.agent_key = u.agent_key
        AND (a.stream_id = u.stream_id OR (u.stream_id IS NULL AND a.worker_id = u.worker_id))
    WHERE u.number NOT IN (SELECT e.number FROM ended e);
END
$$
"""

_FUNCTIONS: Final = {
    "touch_sessions": _TOUCH,
    "start_sessions": _START,
    "register_streams": _REGISTER,
    "finish_streams": _FINISH,
}


def made_by_0002(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The functions; SQLite has none."""
    if dialect == "sqlite":
        return ()
    return [
        Definition(name, text.format(s=schema).strip(), f"DROP FUNCTION {schema}.{name}")
        for name, text in _FUNCTIONS.items()
    ]
