"""The console's queries go by an index, or by a table that is as small as what is live."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from session_router.console import series
from session_router.database.engine import create_engine
from session_router.database.schema import Tables, build_tables
from session_router.repository.changes import StreamFilter
from session_router.watch import queries
from session_router.watch.records import Place, Wanted
from tests.database.test_query_plans import fill, plan
from tests.support.databases import PostgresDatabases

NOW = datetime.now(UTC)
NEWEST = NOW + timedelta(hours=1)
"""All events of these tables happened in one second: from here on there are few."""
LONG_AGO = NOW - timedelta(hours=5)
ALL = Wanted("", StreamFilter())
STORY = "session_events_session_id_event_id_idx"
OWNED = "session_events_owned_sessions_idx"


@pytest.fixture
def postgres_url(postgres: PostgresDatabases) -> Iterator[str]:
    """A new one: where rows were deleted before, statistics are others."""
    with postgres.fresh() as url:
        yield url


def statements(t: Tables, dialect: str) -> dict[str, tuple[Any, set[str]]]:
    """The statements, and the indexes that each must use."""
    after, acme = Place(NOW, uuid4()), StreamFilter(owner="acme")
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    idle = {"sessions_idle_idx", "own_timeouts_idx"}  # of the two of those the cheaper one
    schema = t.sessions.schema
    return {
        "the strip": (queries.overview(t, None, LONG_AGO, hour, minute), idle),
        "the strip of an owner": (
            queries.overview(t, "acme", LONG_AGO, hour, minute),
            {"sessions_owners_idx", OWNED},
        ),
        "the owners of a page of streams": (
            queries.streams(t, ALL, NOW, after, 50),
            {"sessions_pkey"},
        ),
        "streams of sessions that begin so": (
            queries.streams(t, Wanted("s777", StreamFilter()), NOW, None, 50),
            {"agent_streams_pkey"},
        ),
        "the owners of streams that have this in their names": (
            queries.streams(t, Wanted("", StreamFilter(), "s77"), NOW, None, 200),
            {"sessions_pkey"},
        ),
        "stops that were settled, of what has this in its names": (
            queries.settled(t, Wanted("", StreamFilter(), "s77"), NOW),
            {"session_events_settled_signals_idx", STORY},
        ),
        "what hooks are owed": (queries.deliveries(t), {"hook_deliveries_dead_idx"}),
        "streams of a worker": (
            queries.streams(t, Wanted("", StreamFilter(worker_id=uuid4())), NOW, None, 50),
            {"agent_streams_worker_id_idx"},
        ),
        "stops that were settled": (
            queries.settled(t, ALL, NOW),
            {"session_events_settled_signals_idx", STORY},
        ),
        "stops that were settled, of an owner": (
            queries.settled(t, Wanted("", acme), NOW),
            {"session_events_settled_signals_idx", STORY, OWNED},
        ),
        "stops that are open": (queries.unsettled(t, ALL), {STORY}),
        "workers": (queries.workers(t), {"agent_streams_worker_id_idx"}),
        "workers that were lost": (
            queries.lost_workers(t, NEWEST),
            {"session_events_activity_idx"},
        ),
        "a story": (queries.story(t, "s7", None, 100), {STORY}),
        "a story, to an owner": (queries.story(t, "s7", "acme", None), {STORY, OWNED}),
        "what happened": (
            series.happened_since(dialect, schema, None, NEWEST),
            {"session_events_activity_idx"},
        ),
        "what happened to an owner's": (
            series.happened_since(dialect, schema, "acme", NEWEST),
            {"session_events_activity_idx", OWNED},
        ),
        "how long stops took": (
            series.stopped_since(dialect, schema, None, NEWEST),
            {"session_events_settled_signals_idx"},
        ),
    }


async def test_every_query_uses_its_indexes_and_reads_no_story_whole(database_url: str) -> None:
    engine = create_engine(database_url)
    dialect = engine.dialect.name
    async with engine.begin() as conn:
        await fill(conn)
    t = build_tables(None if dialect == "sqlite" else "session_router")
    wrong = {}
    for name, (statement, indexes) in statements(t, dialect).items():
        said = await plan(engine, statement)
        missing = {index for index in indexes if not is_used(index, said)}
        if missing or reads_the_trail_whole(said):
            wrong[name] = (missing, said)
    await engine.dispose()
    assert not wrong, "\n".join(f"{name}: {each}" for name, each in wrong.items())


def is_used(index: str, said: str) -> bool:
    return index in said or f"sqlite_autoindex_{index.removesuffix('_pkey')}_1" in said


def reads_the_trail_whole(said: str) -> bool:
    on_postgresql = re.search(r"\"Seq Scan\"[^{}]*\"Relation Name\": \"session_events\"", said)
    on_sqlite = re.search(r"SCAN (?:e|session_events)(?! USING)", said)
    return on_postgresql is not None or on_sqlite is not None
