"""`session-router serve`: the service as a newcomer and an operator start it."""

import asyncio
import signal
import socket
import subprocess
from typing import Any

import httpx
import pytest

from session_router.cli.serve import _what_to_try
from session_router.settings import Settings
from tests.cli.program import Done, Program
from tests.cli.test_db import execute
from tests.cli.test_faults import assert_clean
from tests.support.databases import PostgresDatabases
from tests.support.waiting import eventually


async def address_of(service: subprocess.Popen[str]) -> str:
    """The address that it prints when it listens."""
    assert service.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = await asyncio.to_thread(service.stdout.readline)
    except TimeoutError:
        service.kill()
        raise
    assert line.startswith("Serving on "), service.communicate()
    return line.split()[2]


async def test_the_demo_streams_and_is_stopped_from_anywhere(program: Program) -> None:
    """The whole of a newcomer's first minutes, on a folder that has nothing in it."""
    with program.process("serve", "--demo", "--port", "0", drain_sec="0") as service:
        url = await address_of(service)
        async with httpx.AsyncClient(base_url=url) as client:

            async def streaming(session_id: str) -> Any:
                answer = await client.get(f"/sessions/{session_id}")
                return answer.is_success and answer.json()["agents_streaming"]

            assert await eventually(lambda: streaming("demo-1")) == ["reader/moby-dick"]
            stopped = await client.post("/sessions/demo-1/interrupt")
            assert stopped.json()["interrupted"] == ["reader/moby-dick"]
            assert not await streaming("demo-1")

            await eventually(lambda: streaming("demo-2"))
            by_program = await program.call("sessions", "interrupt", "demo-2", "--json")
            assert by_program.json["interrupted"] == ["reader/two-cities"]

        async def is_delivered() -> bool:
            return ["signal_settled", "delivered"] in await story_of("demo-2")

        async def story_of(session_id: str) -> list[list[str]]:
            rows = (await program.call("events", session_id)).rows
            return [[row[1], row[3]] for row in rows]

        await eventually(is_delivered)
        assert (await story_of("demo-1"))[:5] == [
            ["session_started", ""],
            ["stream_started", ""],
            ["interrupt_requested", ""],
            ["stream_finished", "interrupted"],
            ["signal_settled", "delivered"],
        ]

        service.send_signal(signal.SIGTERM)
        assert service.stdout is not None
        # `communicate` would pass over what was read ahead with the first line.
        out = await asyncio.to_thread(service.stdout.read)
        _, err = await asyncio.to_thread(service.communicate, timeout=60)

    assert service.returncode == 0, err
    assert "/sessions/demo-1/interrupt" in out
    assert "events demo-1" in out
    assert "demo-1: reader/moby-dick was stopped" in out
    assert "Traceback" not in err
    rows = (await program.call("sessions", "list")).rows
    assert [row[3] for row in rows] == [""] * len(rows)


async def test_ctrl_c_is_a_good_end(program: Program, postgres_url: str) -> None:
    with program.process("serve", "--port", "0", database_url=postgres_url) as service:
        await address_of(service)
        service.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(service.communicate, timeout=60)

    assert service.returncode == 0, err
    assert "worker_stopped" in err


def refused(program: Program, *arguments: str) -> Done:
    done = program("serve", "--port", "0", *arguments)
    assert_clean(done)
    return done


def test_a_database_without_tables_is_not_served(
    program: Program, postgres: PostgresDatabases
) -> None:
    with postgres.fresh(empty=True) as url:
        done = refused(program, "--database-url", url)
        current = program("db", "current", "--json", "--database-url", url)

    assert done.code == 4
    assert "session-router db upgrade" in done.err
    assert current.json["revision"] is None


NEWER = (
    "UPDATE session_router.session_router_version SET version_num = '9999'",
    "UPDATE session_router.session_router_oldest_code SET revision = '9999'",
)


@pytest.mark.parametrize(
    "faults", [NEWER, ("DROP INDEX session_router.agent_streams_worker_id_idx",)]
)
def test_a_database_of_another_shape_is_not_served(
    program: Program, database_url: str, faults: tuple[str, ...]
) -> None:
    execute(database_url, *faults)

    assert refused(program, "--database-url", database_url).code == 4


def test_the_default_file_of_a_newer_version_is_not_served(
    program: Program, sqlite_url: str
) -> None:
    """It is the file that `serve` would otherwise upgrade by itself."""
    execute(sqlite_url, *NEWER)

    assert "9999" in refused(program).err


def test_a_port_that_is_taken_is_named(program: Program, sqlite_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = refused(program, "--port", port, "--database-url", sqlite_url)

    assert done.code == 1
    assert port in done.err


def test_what_the_demo_tells_to_try_holds_no_password() -> None:
    url = "postgresql://ann:s3cret@host/db?password=s3cret"
    told = _what_to_try(Settings(http_port=0, http_host="::"), url)

    assert "s3cret" not in told
    assert "--database-url" in told
    assert "http://127.0.0.1:PORT/sessions" in told
