"""The functions of before, for sessions that may have owners, and timeouts of their own.

Those of before stay for workers of the release before, who call them; only the sweep of theirs
passes over sessions with a timeout of their own, by the same name. What it is that changes stands
here; all else is the frozen text.

`owners`, where it is given, says for each id whose session is meant; NULL: anybody's. A session of
somebody else's is left alone, and told of as one that is not there. `actors` says who asks, for the
events of what begins.
"""

import re
from collections.abc import Sequence
from typing import Final

from session_router.database.definitions import pinned_0005, stops_0007
from session_router.database.definitions.definition import Definition

EXPIRY: Final = "(s.last_updated AT TIME ZONE 'UTC') + s.timeout_minutes * interval '1 minute'"
"""When a session with a timeout of its own expires; as the index on it says it."""

_IS_MEANT: Final = """(owners IS NULL OR coalesce(
                owners[array_position(ids, s.session_id)] = s.owner,
                owners[array_position(ids, s.session_id)] IS NULL
            ))"""
_LIFE: Final = "agents text[], owner text, timeout_minutes float8, is_busy boolean"

Changes = Sequence[tuple[str, str]]
"""Pieces of a text, and what takes their places. Any white space is like any other."""


def _columns(*more: str) -> tuple[str, str]:
    before = "(session_id, session_uid, start_time, last_updated)"
    return before, before.replace(")", f", {', '.join(more)})")


def _told(select: str, actor: str, owner: str) -> tuple[str, str]:
    """The event of a start says who asked for it, and has the owner for its detail."""
    before = f"(occurred_at, session_id, session_uid, event, worker_id) {select}"
    return (
        before,
        f"{before.replace('worker_id)', 'worker_id, actor, detail)', 1)}, {actor}, {owner}",
    )


_BY_ASKER: Final = (
    "JOIN unnest(uids, workers) u (session_uid, worker_id)",
    "JOIN unnest(uids, workers, actors) u (session_uid, worker_id, actor)",
)


_STARTED: Final = "SELECT moment, m.session_id, m.session_uid, 'session_started', u.worker_id"
_TOUCH: Final[Changes] = (
    ("touch_sessions(ids text[],", "touch_sessions_of(ids text[], owners text[],"),
    ("agents text[], is_busy boolean", _LIFE),
    ("resolution <= began ORDER", f"resolution <= began AND {_IS_MEANT} ORDER"),
    ("), false;", "), s.owner, s.timeout_minutes, false;"),
    (
        "), s.last_updated + resolution",
        "), s.owner, s.timeout_minutes, s.last_updated + resolution",
    ),
    ("<> ALL (held));", f"<> ALL (held)) AND {_IS_MEANT};"),
)
_START: Final[Changes] = (
    (
        "start_sessions( ids text[], uids uuid[], workers uuid[],",
        (
            "start_sessions_of(ids text[], owners text[], uids uuid[], workers uuid[], "
            "actors text[], timeouts float8[],"
        ),
    ),
    ("agents text[], is_busy boolean", _LIFE),
    ("touch_sessions(ids, resolution)", "touch_sessions_of(ids, owners, resolution)"),
    _columns("owner", "timeout_minutes"),
    ("moment, moment FROM unnest", "moment, moment, u.owner, u.timeout_minutes FROM unnest"),
    (
        "unnest(ids, uids) u (session_id, session_uid)",
        "unnest(ids, uids, owners, timeouts) u (session_id, session_uid, owner, timeout_minutes)",
    ),
    (
        "RETURNING session_id, session_uid ",
        "RETURNING session_id, session_uid, owner, timeout_minutes\n",
    ),
    _told(_STARTED, "u.actor", "m.owner"),
    _BY_ASKER,
    ("'{}'::text[], false", "'{}'::text[], m.owner, m.timeout_minutes, false"),
)
_OPEN: Final[Changes] = (
    ("open_streams(", "open_streams_of(owners text[], actors text[], "),
    ("RETURNS TABLE (stream_id uuid)", "RETURNS TABLE (stream_id uuid, timeout_minutes float8)"),
    ("held_uids uuid[];", "held_uids uuid[]; held_timeouts float8[];"),
    ("array_agg(l.place) ", "array_agg(l.place), array_agg(l.timeout_minutes)\n"),
    ("held_uids, places ", "held_uids, places, held_timeouts\n"),
    ("s.ctid AS place FROM", "s.ctid AS place, s.timeout_minutes FROM"),
    (
        "WHERE s.session_id = ANY (ids) ORDER BY",
        f"WHERE s.session_id = ANY (ids) AND {_IS_MEANT} ORDER BY",
    ),
    (
        "array_agg(u.session_uid) INTO ids, types, keys, stream_ids, workers, uids ",
        (
            "array_agg(u.session_uid), array_agg(u.owner), array_agg(u.actor)\n"
            "        INTO ids, types, keys, stream_ids, workers, uids, owners, actors\n"
        ),
    ),
    ("uids, named, alone, refusing) u (", "uids, named, alone, refusing, owners, actors) u ("),
    ("named, alone, refusing ) WHERE", "named, alone, refusing, owner, actor) WHERE"),
    _columns("owner"),
    ("moment, moment FROM unnest", "moment, moment, u.owner FROM unnest"),
    (
        "unnest(ids, uids) u (session_id, session_uid)",
        "unnest(ids, uids, owners) u (session_id, session_uid, owner)",
    ),
    ("RETURNING session_id, session_uid ", "RETURNING session_id, session_uid, owner\n"),
    _told(_STARTED, "u.actor", "m.owner"),
    _BY_ASKER,
    (
        "agent_type, agent_key, stream_id, worker_id) SELECT o.started_at",
        ("agent_type, agent_key, stream_id, worker_id, actor)\n        SELECT o.started_at"),
    ),
    (
        "o.agent_key, o.stream_id, o.worker_id FROM opened o",
        (
            "o.agent_key, o.stream_id, o.worker_id, u.actor\n        FROM opened o\n"
            "        JOIN unnest(stream_ids, actors) u (stream_id, actor)\n"
            "            ON u.stream_id = o.stream_id"
        ),
    ),
    (
        # Those that are created here come behind those that were held, and have none of their own.
        "SELECT o.stream_id FROM opened o;",
        "SELECT o.stream_id, held_timeouts[array_position(held_ids, o.session_id)] FROM opened o;",
    ),
)
_STOP: Final[Changes] = (
    ("stop_streams(", "stop_streams_of(of_owner text, fresh_timeouts float8[], "),
    (
        "WHERE s.session_id = ANY (ids) ORDER BY",
        "WHERE s.session_id = ANY (ids) AND (of_owner IS NULL OR s.owner = of_owner) ORDER BY",
    ),
    (
        "SET last_updated = instant, start_time = instant,",
        (
            "SET last_updated = instant, start_time = instant, owner = of_owner,\n"
            "            timeout_minutes = fresh_timeouts[array_position(ids, s.session_id)],"
        ),
    ),
    _columns("owner", "timeout_minutes"),
    ("instant, instant FROM unnest", "instant, instant, of_owner, u.timeout_minutes FROM unnest"),
    (
        "unnest(ids, fresh_uids) u (session_id, session_uid)",
        "unnest(ids, fresh_uids, fresh_timeouts) u (session_id, session_uid, timeout_minutes)",
    ),
    _told(
        "SELECT instant, u.session_id, u.session_uid, 'session_started', "
        "acting[array_position(ids, u.session_id)]",
        "actors[array_position(ids, u.session_id)]",
        "of_owner",
    ),
)
_SWEEP: Final[Changes] = (
    (
        "WHERE s.last_updated < cutoff",
        "WHERE s.timeout_minutes IS NULL AND s.last_updated < cutoff",
    ),
)
_SWEEP_OF_OWN: Final[Changes] = (
    ("expire_sessions( idle interval", "expire_own_timeouts(grace interval"),
    (
        "cutoff CONSTANT timestamptz := clock_timestamp() - idle;",
        "cutoff CONSTANT timestamp := clock_timestamp() AT TIME ZONE 'UTC' - grace;",
    ),
    ("array_agg(l.last_updated) ", "array_agg(l.expiry AT TIME ZONE 'UTC')\n"),
    ("SELECT s.ctid, s.* FROM", f"SELECT s.ctid, s.*, {EXPIRY} AS expiry FROM"),
    (
        "WHERE s.last_updated < cutoff AND (s.last_updated, s.session_id)",
        f"WHERE s.timeout_minutes IS NOT NULL AND {EXPIRY} < cutoff AND ({EXPIRY}, s.session_id)",
    ),
    ("coalesce(after_updated,", "coalesce(after_updated AT TIME ZONE 'UTC',"),
    ("ORDER BY s.last_updated, s.session_id", f"ORDER BY {EXPIRY}, s.session_id"),
    ("AND s.last_updated < cutoff;", f"AND {EXPIRY} < cutoff;"),
)


def functions(schema: str) -> list[Definition]:
    """Those that no revision had before."""
    older = {made.name: made for made in pinned_0005.made_by_0005("postgresql", schema)}
    older |= {made.name: made for made in stops_0007.made_by_0007("postgresql", schema)}
    return [
        _changed(older[name], new_name, changes, schema)
        for name, new_name, changes in (
            ("touch_sessions", "touch_sessions_of", _TOUCH),
            ("start_sessions", "start_sessions_of", _START),
            ("open_streams", "open_streams_of", _OPEN),
            ("stop_streams", "stop_streams_of", _STOP),
            ("expire_sessions", "expire_own_timeouts", _SWEEP_OF_OWN),
        )
    ]


def sweep_before(schema: str) -> Definition:
    """The sweep of 0005, which is replaced."""
    [sweep] = [
        made
        for made in pinned_0005.made_by_0005("postgresql", schema)
        if made.name == "expire_sessions"
    ]
    return sweep


def sweep(schema: str) -> Definition:
    """The sweep of those that have no timeout of their own."""
    return _changed(sweep_before(schema), "expire_sessions", _SWEEP, schema)


def kept_of_0005(dialect: str, schema: str | None) -> Sequence[Definition]:
    """What 0005 made, and is not replaced."""
    made = pinned_0005.made_by_0005(dialect, schema)
    return [each for each in made if each.name != "expire_sessions"]


def made_by_0009(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The functions; SQLite has none."""
    if schema is None:
        return ()
    return [sweep(schema), *functions(schema)]


def _changed(made: Definition, name: str, changes: Changes, schema: str) -> Definition:
    text = made.create
    for before, after in changes:
        pieces = re.split(_with_any_space(before), text)
        assert len(pieces) == 2, f"{name}: {before!r} is there {len(pieces) - 1} times"
        text = after.join(pieces)
    return Definition(name, text, f"DROP FUNCTION {schema}.{name}")


def _with_any_space(before: str) -> str:
    words = r"\s+".join(map(re.escape, before.split()))
    return words + r"\s+" if before.endswith(" ") else words
