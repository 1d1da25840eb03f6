"""The log of `session-router serve`, as a shipper of logs reads it."""

import asyncio
import json
import re
import signal
from datetime import datetime, timedelta
from typing import Any

import pytest

from session_router import AgentId
from session_router.client import connect
from session_router.database import migrate
from session_router.database.migrate import Target
from tests.cli.program import Program
from tests.cli.test_serve_workers import address_of
from tests.support.sources import Source, hang
from tests.support.sql import connected
from tests.support.waiting import eventually

LOGS = """
import logging
from session_router import logs
from session_router.log_output import write_log
write_log("{form}", "{level}")
logging.getLogger("elsewhere").info("a detail of another package")
logging.getLogger("elsewhere").warning("two\\nlines, %s", "filled in")
logs.sweep_finished(3, 4)
try:
    1 / 0
except ZeroDivisionError as error:
    logs.request_crashed("GET", "/sessions/a b", error)
"""


async def log_of_a_run(program: Program, **settings: str) -> list[str]:
    """What a service says on stderr from its start to its end by SIGTERM."""
    with program.process("serve", "--port", "0", drain_sec="0", **settings) as service:
        await address_of(service)
        service.send_signal(signal.SIGTERM)
        _, err = await asyncio.to_thread(service.communicate)
        assert service.returncode == 0, err
    return err.splitlines()


def told_by(program: Program, form: str, level: str) -> list[str]:
    done = program.run_script(LOGS.format(form=form, level=level))
    assert (done.code, done.out) == (0, "")
    return done.err.splitlines()


async def test_each_line_is_an_object_that_can_be_searched_by_its_fields(program: Program) -> None:
    lines = await log_of_a_run(program, log_format="json")
    told: list[dict[str, Any]] = [json.loads(line) for line in lines]
    by_message = {each["message"]: each for each in told}
    started, stopped = by_message["worker_started"], by_message["worker_stopped"]
    assert started["worker_id"] == stopped["worker_id"]
    assert (stopped["streams"], stopped["signals"]) == (0, 0)
    for each in told:
        assert datetime.fromisoformat(each["time"]).utcoffset() == timedelta()
        assert (each["level"], each["logger"]) == ("INFO", "session_router")
        assert isinstance(each["process"], int)


async def test_each_process_behind_one_port_tells_which_it_is(program: Program) -> None:
    lines = await log_of_a_run(program, log_format="json", http_workers="2")
    told = [json.loads(line) for line in lines]
    started = [each for each in told if each["message"] == "worker_started"]
    assert len({each["process"] for each in started}) == 2


async def test_the_times_of_the_text_carry_their_zone(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    for line in await log_of_a_run(program):
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO \w+", line), line


async def test_below_its_level_nothing_is_told(program: Program) -> None:
    assert await log_of_a_run(program, log_level="WARNING") == []


def test_an_error_of_many_lines_is_one_object(program: Program) -> None:
    foreign, swept, crashed = map(json.loads, told_by(program, "json", "info"))
    assert (foreign["logger"], foreign["message"]) == ("elsewhere", "two\nlines, filled in")
    assert (swept["message"], swept["sessions"], swept["streams"]) == ("sweep_finished", 3, 4)
    assert crashed["message"] == "request_crashed"
    assert crashed["path"] == "/sessions/a b"
    assert crashed["error"] == "ZeroDivisionError: division by zero"
    assert crashed["exception"].splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_of_other_packages_warnings_are_told_and_no_details(program: Program) -> None:
    log = "\n".join(told_by(program, "text", "debug"))
    assert "a detail" not in log
    assert "two\nlines, filled in" in log
    assert "two" not in "\n".join(told_by(program, "text", "error"))


@pytest.mark.parametrize(("name", "value"), [("log_format", "xml"), ("log_level", "loud")])
def test_a_form_or_level_that_is_none_is_refused_by_name(
    program: Program, name: str, value: str
) -> None:
    done = program.run_process("serve", **{name: value})
    assert done.code == 2
    assert f"SESSION_ROUTER_{name.upper()}" in done.err


async def test_a_migration_tells_what_it_waits_for(program: Program, postgres_url: str) -> None:
    await migrate.downgrade(Target(postgres_url), "0008")
    options = ("db", "downgrade", "base", "--discard-audit")
    async with connected(postgres_url) as reader:
        await reader.execute("BEGIN; SELECT * FROM session_router.sessions")
        with program.process(*options, database_url=postgres_url, log_format="json") as moving:
            assert moving.stderr is not None
            waits = {"message": ""}
            while waits["message"] != "migration_waits":
                line = await asyncio.to_thread(moving.stderr.readline)
                assert line, "it has not waited"
                waits = json.loads(line) if line.startswith("{") else waits
            await reader.execute("COMMIT")
            _, err = await asyncio.to_thread(moving.communicate)
            assert moving.returncode == 0, err
        assert f"process {reader.get_server_pid()}" in waits["in_its_way"]


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_clean_stop_while_agents_stream_here_and_in_remote_workers_warns_of_nothing(
    program: Program, database_url: str, workers: str, order: signal.Signals
) -> None:
    settings = {"database_url": database_url, "http_workers": workers, "log_level": "warning"}
    with program.process("serve", "--demo", "--port", "0", drain_sec="0", **settings) as service:
        url = await address_of(service)
        manager = connect(url, None)
        streams = [
            manager.stream(f"chat-{number}", AgentId("writer", "ann"), Source("word", then=hang))
            for number in range(3)
        ]
        for stream in streams:
            assert await anext(stream) == "word"
        await eventually(lambda: manager.wake_ups.mode == "listening", within=60)
        service.send_signal(order)
        _, err = await asyncio.to_thread(service.communicate)
    assert (service.returncode, err) == (0, "")
    await manager.shutdown()
