"""Streams with names, and the stops of many streams at once, as functions on PostgreSQL.

`open_streams` is what `register_streams` of 0002 was, which workers of the release before call
still; it does without the calls of one function by another, and takes each lock once. What it
leaves out is told, and goes the long way alone: a name that somebody is stopping, or that was
stopped or used before; streams in the way.

`stop_streams` interrupts, ends or replaces sessions: one round trip, where a transaction of the
client's takes seven. Sessions that others hold are passed over, and told. The lock rules hold:
sessions are locked in key order in a statement of their own, then their streams in theirs.
"""

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions.definition import Definition

_OPEN_ARGUMENTS: Final = (
    "ids text[], types text[], keys text[], stream_ids uuid[], workers uuid[], uids uuid[], "
    "named boolean[], alone boolean[], refusing boolean[]"
)
# The lock of a name: see `repository/sql/names.py`.
_OPEN: Final = """
CREATE FUNCTION {s}.open_streams({arguments})
RETURNS TABLE (stream_id uuid)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_nestloop = off SET enable_mergejoin = off SET lock_timeout = '100ms' AS $$
#variable_conflict use_column
DECLARE
    fenced uuid[];
    free uuid[];
    taken uuid[];
    held_ids text[];
    held_uids uuid[];
    places tid[];
    new_ids text[];
    new_uids uuid[];
    moment timestamptz;
BEGIN
    IF true = ANY (named) THEN
        free := ARRAY(
            SELECT u.stream_id FROM unnest(stream_ids, named) u (stream_id, named)
            WHERE u.named AND pg_try_advisory_xact_lock_shared(
                1582632977, get_byte(uuid_send(u.stream_id), 15) & 63
            )
        );
        -- Compared with arrays, so that no plan reads the whole trail.
        taken := ARRAY(
            SELECT e.stream_id FROM {s}.early_stops e WHERE e.stream_id = ANY (free)
        ) || ARRAY(
            SELECT v.stream_id FROM {s}.session_events v
            WHERE v.event = 'stream_started' AND v.stream_id = ANY (free)
        );
    END IF;
    fenced := ARRAY(
        SELECT w.worker_id FROM {s}.workers w WHERE w.worker_id = ANY (workers)
        ORDER BY w.worker_id
        FOR KEY SHARE
    );
    IF NOT workers <@ fenced THEN
        RETURN;
    END IF;
    SELECT array_agg(l.session_id), array_agg(l.session_uid), array_agg(l.place)
    INTO held_ids, held_uids, places
    FROM (
        SELECT s.session_id, s.session_uid, s.ctid AS place FROM {s}.sessions s
        WHERE s.session_id = ANY (ids)
        ORDER BY s.session_id
        FOR NO KEY UPDATE SKIP LOCKED
    ) l;
    -- What is left out touches and creates nothing, for it may be refused.
    IF true = ANY (named || alone || refusing) THEN
        SELECT array_agg(u.session_id), array_agg(u.agent_type), array_agg(u.agent_key),
            array_agg(u.stream_id), array_agg(u.worker_id), array_agg(u.session_uid)
        INTO ids, types, keys, stream_ids, workers, uids
        FROM unnest(ids, types, keys, stream_ids, workers, uids, named, alone, refusing) u (
            session_id, agent_type, agent_key, stream_id, worker_id, session_uid, named, alone,
            refusing
        )
        WHERE (NOT u.named OR (u.stream_id = ANY (free) AND u.stream_id <> ALL (taken))) AND NOT (
            (u.alone OR u.refusing) AND EXISTS (
                SELECT FROM {s}.agent_streams a
                WHERE a.session_id = u.session_id AND (
                    u.alone OR (a.agent_type = u.agent_type AND a.agent_key = u.agent_key)
                )
            )
        );
        IF ids IS NULL THEN
            RETURN;
        END IF;
    END IF;
    IF held_ids IS NOT NULL THEN
        UPDATE {s}.sessions s SET last_updated = greatest(s.last_updated, clock_timestamp())
        WHERE s.ctid = ANY (places) AND s.session_id = ANY (ids);
    END IF;
    IF held_ids IS NULL OR NOT ids <@ held_ids THEN
        moment := clock_timestamp();
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
        SELECT array_agg(m.session_id), array_agg(m.session_uid) INTO new_ids, new_uids
        FROM made m;
        held_ids := held_ids || new_ids;
        held_uids := held_uids || new_uids;
    END IF;
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

_STOP_ARGUMENTS: Final = (
    "ids text[], requests uuid[], acting uuid[], actors text[], reasons text[], named jsonb[], "
    "fresh_uids uuid[], terminal text, is_narrow boolean, "
    "of_type text, of_worker uuid, older_than interval"
)
# `terminal`: the event that ends the sessions; NULL: they live on. `named`: the agents that an
# interrupt is for, as a list of `type/key`; NULL, or no array at all: all. `fresh_uids`: the next
# life of what is replaced. `is_narrow`: only what the columns after it match is meant, and where
# there is nothing, nothing is written.
_STOP: Final = """
CREATE FUNCTION {s}.stop_streams({arguments})
RETURNS TABLE (
    session_id text, session_uid uuid, moment timestamptz, agent_type text, agent_key text,
    stream_id uuid, worker_id uuid, started_at timestamptz, signal_id uuid, is_busy boolean
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
SET lock_timeout = '100ms' AS $$
#variable_conflict use_column
DECLARE
    held text[];
    uids uuid[];
    places tid[];
    starts timestamptz[];
    numbers integer[];
    found_ids text[];
    found_uids uuid[];
    found_requests uuid[];
    found_types text[];
    found_keys text[];
    found_streams uuid[];
    found_workers uuid[];
    begun timestamptz[];
    signals uuid[];
    instant timestamptz;
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    imported_detail CONSTANT text := 'the stream was imported and belongs to no worker';
    ordered CONSTANT text := CASE WHEN terminal IS NULL THEN 'cancel' ELSE 'cancel_and_remove' END;
    ending CONSTANT text := coalesce(terminal, 'interrupted');
BEGIN
    SELECT array_agg(l.session_id), array_agg(l.session_uid), array_agg(l.place),
        array_agg(l.start_time), array_agg(array_position(ids, l.session_id))
    INTO held, uids, places, starts, numbers
    FROM (
        SELECT s.session_id, s.session_uid, s.start_time, s.ctid AS place FROM {s}.sessions s
        WHERE s.session_id = ANY (ids)
        ORDER BY s.session_id
        FOR UPDATE SKIP LOCKED
    ) l;
    SELECT array_agg(gen_random_uuid()), array_agg(l.worker_id), array_agg(l.session_id),
        array_agg(uids[l.place]), array_agg(requests[numbers[l.place]]),
        array_agg(l.agent_type), array_agg(l.agent_key), array_agg(l.stream_id),
        array_agg(l.started_at)
    INTO signals, found_workers, found_ids, found_uids, found_requests, found_types, found_keys,
        found_streams, begun
    FROM (
        SELECT a.*, array_position(held, a.session_id) AS place FROM {s}.agent_streams a
        WHERE a.session_id = ANY (held)
            AND (of_type IS NULL OR a.agent_type = of_type)
            AND (of_worker IS NULL OR a.worker_id = of_worker)
            AND (older_than IS NULL OR a.started_at < clock_timestamp() - older_than)
            AND (
                named IS NULL OR coalesce(
                    named[array_position(ids, a.session_id)] ? (a.agent_type || '/' || a.agent_key),
                    true
                )
            )
        ORDER BY a.session_id, a.agent_type, a.agent_key
        FOR UPDATE OF a
    ) l;
    instant := clock_timestamp();
    IF terminal IS NULL THEN
        INSERT INTO {s}.session_events
            (occurred_at, session_id, session_uid, event, worker_id, request_id, actor, detail)
        SELECT instant, u.session_id, u.session_uid, 'interrupt_requested', acting[u.number],
            requests[u.number], actors[u.number], reasons[u.number]
        FROM unnest(held, uids, numbers) u (session_id, session_uid, number)
        WHERE NOT is_narrow OR u.session_id = ANY (found_ids);
    END IF;
    IF found_streams IS NOT NULL THEN
        DELETE FROM {s}.agent_streams a
        WHERE a.session_id = ANY (found_ids) AND a.stream_id = ANY (found_streams);
        INSERT INTO {s}.session_events
            (occurred_at, session_id, session_uid, event, agent_type, agent_key,
             stream_id, worker_id, request_id, started_at, outcome)
        SELECT instant, u.session_id, u.session_uid, 'stream_finished', u.agent_type, u.agent_key,
            u.stream_id, u.worker_id, u.request_id, u.started_at, ending
        FROM unnest(
            found_ids, found_uids, found_types, found_keys, found_streams, found_workers,
            found_requests, begun
        ) u (
            session_id, session_uid, agent_type, agent_key, stream_id, worker_id, request_id,
            started_at
        );
        IF nobody = ANY (found_workers) THEN
            INSERT INTO {s}.session_events
                (occurred_at, session_id, session_uid, event, agent_type, agent_key,
                 stream_id, worker_id, request_id, started_at, outcome, detail)
            SELECT instant, u.session_id, u.session_uid, 'signal_settled', u.agent_type,
                u.agent_key, u.stream_id, u.worker_id, u.request_id, instant, 'failed',
                imported_detail
            FROM unnest(
                found_ids, found_uids, found_types, found_keys, found_streams, found_workers,
                found_requests
            ) u (session_id, session_uid, agent_type, agent_key, stream_id, worker_id, request_id)
            WHERE u.worker_id = nobody;
        END IF;
        INSERT INTO {s}.interrupt_signals
            (signal_id, worker_id, request_id, session_id, session_uid,
             agent_type, agent_key, stream_id, action, requested_at)
        SELECT u.signal_id, u.worker_id, u.request_id, u.session_id, u.session_uid,
            u.agent_type, u.agent_key, u.stream_id, ordered, instant
        FROM unnest(
            signals, found_workers, found_requests, found_ids, found_uids, found_types,
            found_keys, found_streams
        ) u (
            signal_id, worker_id, request_id, session_id, session_uid, agent_type, agent_key,
            stream_id
        )
        WHERE u.worker_id <> nobody;
        PERFORM pg_notify('session_router_' || replace(w.worker_id::text, '-', ''), '')
        FROM (SELECT DISTINCT unnest(found_workers)) w (worker_id)
        WHERE w.worker_id <> nobody;
    END IF;
    IF terminal IS NOT NULL THEN
        INSERT INTO {s}.session_events
            (occurred_at, session_id, session_uid, event, worker_id, request_id, started_at,
             actor, detail)
        SELECT instant, u.session_id, u.session_uid, terminal, acting[u.number],
            requests[u.number], u.start_time, actors[u.number], reasons[u.number]
        FROM unnest(held, uids, starts, numbers) u (session_id, session_uid, start_time, number);
    END IF;
    IF terminal = 'session_ended' THEN
        DELETE FROM {s}.sessions s WHERE s.ctid = ANY (places);
    ELSIF terminal = 'session_replaced' THEN
        UPDATE {s}.sessions s SET last_updated = instant, start_time = instant,
            session_uid = fresh_uids[array_position(ids, s.session_id)]
        WHERE s.ctid = ANY (places);
        RETURN QUERY
        WITH made AS (
            INSERT INTO {s}.sessions (session_id, session_uid, start_time, last_updated)
            SELECT u.session_id, u.session_uid, instant, instant
            FROM unnest(ids, fresh_uids) u (session_id, session_uid)
            WHERE held IS NULL OR u.session_id <> ALL (held)
            ORDER BY u.session_id COLLATE "C"
            ON CONFLICT DO NOTHING
            RETURNING session_id, session_uid
        ), told AS (
            INSERT INTO {s}.session_events (occurred_at, session_id, session_uid, event, worker_id)
            SELECT instant, u.session_id, u.session_uid, 'session_started',
                acting[array_position(ids, u.session_id)]
            FROM (
                SELECT m.session_id, m.session_uid FROM made m
                UNION ALL
                SELECT h.session_id, fresh_uids[h.number]
                FROM unnest(held, numbers) h (session_id, number)
            ) u
            ORDER BY u.session_id
        )
        SELECT m.session_id, m.session_uid, instant, NULL, NULL, NULL::uuid, NULL::uuid,
            NULL::timestamptz, NULL::uuid, false
        FROM made m;
    END IF;
    RETURN QUERY
    SELECT h.session_id, h.session_uid, instant, f.agent_type, f.agent_key, f.stream_id,
        f.worker_id, f.started_at, f.signal_id, false
    FROM unnest(held, uids) h (session_id, session_uid)
    LEFT JOIN unnest(
        found_ids, found_types, found_keys, found_streams, found_workers, begun, signals
    ) f (session_id, agent_type, agent_key, stream_id, worker_id, started_at, signal_id)
        ON f.session_id = h.session_id;
    IF terminal IS DISTINCT FROM 'session_replaced' AND NOT ids <@ coalesce(held, '{{}}') THEN
        -- Those that somebody else holds.
        RETURN QUERY
        SELECT s.session_id, s.session_uid, instant, NULL, NULL, NULL::uuid, NULL::uuid,
            NULL::timestamptz, NULL::uuid, true
        FROM {s}.sessions s
        WHERE s.session_id = ANY (ids) AND (held IS NULL OR s.session_id <> ALL (held));
    END IF;
END
$$
"""

_FUNCTIONS: Final = {
    "open_streams": (_OPEN, _OPEN_ARGUMENTS),
    "stop_streams": (_STOP, _STOP_ARGUMENTS),
}


def made_by_0007(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The functions; SQLite has none."""
    if dialect == "sqlite":
        return ()
    return [
        Definition(
            name,
            text.format(s=schema, arguments=arguments).strip(),
            f"DROP FUNCTION {schema}.{name}",
        )
        for name, (text, arguments) in _FUNCTIONS.items()
    ]
