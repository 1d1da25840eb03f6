"""Jobs that fail: what the log says of them."""

import logging

import pytest

from session_router import DatabaseUnavailableError
from session_router.maintenance.supervisor import Job, Supervisor
from tests.support.waiting import eventually

BUG, AWAY = ZeroDivisionError("nobody thought of it"), DatabaseUnavailableError("away")


@pytest.mark.parametrize(("error", "has_traceback"), [(BUG, True), (AWAY, False)])
async def test_a_bug_in_a_job_is_logged_with_its_traceback_an_outage_in_one_line(
    error: Exception, has_traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise error

    supervisor = Supervisor()
    with caplog.at_level(logging.ERROR, "session_router"):
        supervisor.start(Job("count", fail, lambda: 1.0))
        await eventually(lambda: "job_failed job=count" in caplog.text)
        await supervisor.stop()
    assert ("in fail" in caplog.text) is has_traceback
