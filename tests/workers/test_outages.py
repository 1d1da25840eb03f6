"""What the log says of an outage that many loops meet, and how they learn that it is over."""

import asyncio
import logging

import pytest

from session_router import (
    DatabaseUnavailableError,
    DeadlineExceededError,
    SchemaError,
    SessionManager,
    SQLAlchemySessionRepository,
    logs,
)
from session_router.outages import Outage, outage_of
from session_router.worker.supervisor import LONGEST_BLIND_SEC, Job, Supervisor, retry_pause
from tests.support.waiting import Gate, eventually

AWAY = DatabaseUnavailableError("away")


class Database:
    """What jobs need, and a clock that goes only when it is told."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.fault: Exception | None = None
        self.outage = Outage("postgresql://db:5432/app", lambda: self.now)

    async def ask(self) -> None:
        if self.fault is not None:
            raise self.fault


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines from a warning on, without the error that each ends with."""
    return [
        record.getMessage().split(" error=")[0]
        for record in caplog.records
        if record.levelno >= logging.WARNING
    ]


async def test_an_outage_that_many_loops_meet_is_told_once_a_minute_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database()
    loops = [Supervisor(database.outage), Supervisor(database.outage)]
    database.fault = AWAY
    with caplog.at_level(logging.DEBUG, "session_router"):
        for supervisor in loops:
            for name in ("heartbeat", "sweep"):
                supervisor.start(Job(name, database.ask, lambda: 0.01, longest_retry_sec=0.02))
        await eventually(lambda: caplog.text.count("job_failed job=sweep") > 20)
        database.now += 61
        await eventually(lambda: "outage_lasts" in caplog.text)
        database.now += 14
        database.fault = None
        await eventually(lambda: "outage_ended" in caplog.text)
        for supervisor in loops:
            await supervisor.stop()
    began, lasts, ended = told(caplog)
    assert began == "outage_began of=postgresql://db:5432/app job=heartbeat"
    assert "for_sec=61.0" in lasts
    assert "after_sec=75.0" in ended
    assert [r.levelname for r in caplog.records if "outage_" in r.getMessage()] == [
        "ERROR",
        "ERROR",
        "WARNING",
    ]


async def test_whoever_finds_the_database_back_wakes_those_that_would_have_waited_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage, is_back = Outage("a database"), Gate()
    asked = 0

    async def find_it_back() -> None:
        if not is_back.is_reached.is_set():
            is_back.is_reached.set()
            raise AWAY
        await is_back()

    wake = asyncio.Event()

    async def wait_long() -> None:
        nonlocal asked
        asked += 1
        outage.met(AWAY, wake)
        await wake.wait()  # a pause without an end
        outage.passed()

    with caplog.at_level(logging.WARNING, "session_router"):
        waiting = asyncio.create_task(wait_long())
        await eventually(lambda: asked == 1)
        supervisor = Supervisor(outage)
        supervisor.start(Job("heartbeat", find_it_back, lambda: 3_600.0))
        await eventually(is_back.is_reached.is_set)
        assert not waiting.done()
        is_back.open()
        await waiting
        await supervisor.stop()
    assert [line.split()[0] for line in told(caplog)] == ["outage_began", "outage_ended"]


async def test_while_some_work_can_be_done_and_other_not_the_outage_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database, reads = Database(), 0

    async def read() -> None:
        nonlocal reads
        reads += 1

    supervisor = Supervisor(database.outage)
    database.fault = AWAY
    with caplog.at_level(logging.WARNING, "session_router"):
        supervisor.start(Job("heartbeat", database.ask, lambda: 0.01, longest_retry_sec=0.01))
        supervisor.start(Job("dispatch", read, lambda: 0.01))
        await eventually(lambda: reads > 20)
        assert [line.split()[0] for line in told(caplog)] == ["outage_began"]
        database.fault = None
        await eventually(lambda: "outage_ended" in caplog.text)
        await supervisor.stop()


async def test_a_stop_during_an_outage_leaves_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database()
    database.fault = DeadlineExceededError.of(3)
    with caplog.at_level(logging.WARNING, "session_router"):
        for _ in range(2):
            supervisor = Supervisor(database.outage)
            supervisor.start(Job("heartbeat", database.ask, lambda: 1.0))
            await eventually(lambda: "outage_began" in caplog.text)
            await supervisor.stop()
            assert [line.split()[0] for line in told(caplog)] == ["outage_began"]
            caplog.clear()


@pytest.mark.parametrize(
    "error",
    [
        SchemaError("another version's tables"),
        DeadlineExceededError.nothing_done(3),
    ],
)
async def test_what_is_no_outage_is_told_by_the_job_and_what_is_one_is_not(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database()
    database.fault = error
    supervisor = Supervisor(database.outage)
    with caplog.at_level(logging.WARNING, "session_router"):
        supervisor.start(Job("sweep", database.ask, lambda: 1.0))
        await eventually(lambda: told(caplog) != [])
        await supervisor.stop()
    first = told(caplog)[0].split()[0]
    assert first == ("job_failed" if isinstance(error, SchemaError) else "outage_began")


async def test_who_is_too_slow_alone_is_warned_of_and_in_an_outage_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database, slow = Database(), DeadlineExceededError.of(10)
    database.fault = slow
    supervisor = Supervisor(database.outage)
    with caplog.at_level(logging.WARNING, "session_router"):
        logs.request_failed("POST", "/sessions", 504, slow)
        supervisor.start(Job("heartbeat", database.ask, lambda: 1.0))
        await eventually(lambda: "outage_began" in caplog.text)
        logs.request_failed("POST", "/sessions", 504, slow)
        await supervisor.stop()
        logs.request_failed("POST", "/sessions", 504, slow)
    lines = [line.split()[0] for line in told(caplog)]
    assert lines == ["request_failed", "outage_began", "request_failed"]


def test_loops_on_the_same_database_share_one() -> None:
    ours, theirs = outage_of("sqlite:///a.db"), outage_of("sqlite:///b.db")
    assert outage_of("sqlite:///a.db") is ours
    assert ours is not theirs


def test_who_stops_streams_never_waits_for_two_seconds_with_the_next_try() -> None:
    pauses = [retry_pause(n, LONGEST_BLIND_SEC) for n in range(1, 10_000)]
    assert max(pauses) < 2


async def test_what_is_listened_to_at_another_address_is_told_of_by_that_address(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    listen_url = "postgresql://127.0.0.1:9/nowhere"
    repository = SQLAlchemySessionRepository.from_url(postgres_url, listen_url=listen_url)
    async with SessionManager(repository):
        await eventually(lambda: "outage_began" in caplog.text)
    await repository.close()
    [began] = [line for line in told(caplog) if line.startswith("outage_began")]
    assert began == f"outage_began of={listen_url} job=listen"
