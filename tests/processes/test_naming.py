"""Stops of named streams against their registrations, in two processes, thousands of times."""

import json
import os
from collections import Counter

from session_router import Session, SQLAlchemySessionRepository
from session_router.events import EventName, StreamOutcome
from tests.processes.naming import BATCH
from tests.support.laws import violations
from tests.support.processes import PythonProcess
from tests.support.sql import is_sqlite, query
from tests.support.waiting import eventually

RACES = int(os.environ.get("SESSION_ROUTER_TEST_RACES", "2000"))
"""`SESSION_ROUTER_TEST_RACES=100000 make faults` has as many."""


async def test_a_stop_that_is_acknowledged_happens_whatever_it_races_with(
    database_url: str,
) -> None:
    races = RACES // 4 if is_sqlite(database_url) else RACES
    told: Counter[str] = Counter()
    repository = SQLAlchemySessionRepository.from_url(database_url)
    for number in range(8):
        await repository.save_session(Session(session_id=f"living-{number}"))
    async with (
        PythonProcess.running("tests.processes.naming", database_url, "register", "1") as one,
        PythonProcess.running("tests.processes.naming", database_url, "stop", "2") as other,
    ):
        for process in (one, other):
            assert await process.line() == "ready"
        for first in range(0, races, BATCH):
            for process in (one, other):
                await process.tell(f"{first} {min(first + BATCH, races)}")
            for process in (one, other):
                told.update(json.loads(await process.line(within=300)))

        async def all_are_settled() -> bool:
            [(open_,)] = await query(
                database_url, "SELECT count(*) FROM session_router.interrupt_signals"
            )
            return bool(open_ == 0)

        await eventually(all_are_settled)
        # Each was acknowledged, so no stream runs on, in the database or in its process.
        assert told["registered"] + told["stopped"] == races
        assert told["live"] + told["ahead"] == races
        assert (told["live"], told["ahead"]) == (told["registered"], told["stopped"])
        assert min(told["live"], told["ahead"]) > 0, told
        events = await query(
            database_url,
            "SELECT event, outcome, count(*) FROM session_router.session_events "
            "WHERE event LIKE 'stream%' OR event LIKE 'signal%' GROUP BY event, outcome",
        )
        assert {(event, outcome): count for event, outcome, count in events} == {
            (EventName.STREAM_STARTED, None): races,
            (EventName.STREAM_FINISHED, StreamOutcome.INTERRUPTED): races,
            (EventName.SIGNAL_SETTLED, "delivered"): races,
        }
    assert await violations(repository) == []
    await repository.close()
