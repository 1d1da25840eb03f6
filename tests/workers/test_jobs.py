"""Jobs that fail, and those that are stopped: what the log says of them."""

import logging

import pytest

from session_router import (
    AgentId,
    DatabaseUnavailableError,
    SessionManager,
    SessionRepository,
)
from session_router.outages import Outage
from session_router.worker.supervisor import Job, Supervisor
from tests.support.sources import Source, hang
from tests.support.waiting import eventually

BUG, AWAY = ZeroDivisionError("nobody thought of it"), DatabaseUnavailableError("away")


@pytest.mark.parametrize(
    ("error", "line", "has_traceback"),
    [(BUG, "job_failed job=count", True), (AWAY, "outage_began of='a database' job=count", False)],
)
async def test_a_bug_in_a_job_is_logged_with_its_traceback_an_outage_in_one_line(
    error: Exception, line: str, has_traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise error

    supervisor = Supervisor(Outage("a database"))
    with caplog.at_level(logging.ERROR, "session_router"):
        supervisor.start(Job("count", fail, lambda: 1.0))
        await eventually(lambda: line in caplog.text)
        await supervisor.stop()
    assert ("in fail" in caplog.text) is has_traceback


async def test_a_clean_stop_warns_of_nothing(
    repository: SessionRepository, caplog: pytest.LogCaptureFixture
) -> None:
    manager, other = SessionManager(repository), SessionManager(repository)
    with caplog.at_level(logging.WARNING, "session_router"):
        await manager.start()
        streams = [
            manager.stream("chat", AgentId("writer", str(n)), Source("word", then=hang))
            for n in range(5)
        ]
        for stream in streams:
            assert await anext(stream) == "word"
        await manager.register_agent("chat", AgentId("host", "a"))
        await other.start()
        if repository.doorbell(lambda: [manager.worker_id], lambda _: None) is not None:
            await eventually(lambda: manager.wake_ups.mode == "listening")
        await other.shutdown()
        await manager.shutdown()
    assert [(record.levelname, record.message) for record in caplog.records] == []
    assert await repository.list_streams("chat") == []
