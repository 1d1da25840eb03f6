"""Several processes that serve one port: each a worker, all told to stop together."""

import asyncio
import os
import signal
import socket
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from session_router.errors import ServeError
from session_router.http import run
from session_router.settings import Settings
from tests.http.service import Service
from tests.http.test_serving import until_unready
from tests.support.waiting import eventually

PROCESSES = 3
QUICK_LEASE = {"heartbeat_interval_sec": 0.2, "lease_sec": 2, "operation_deadline_sec": 1}


async def fetch(database_url: str, query: str) -> list[Any]:
    plain_url = make_url(database_url).set(drivername="postgresql")
    connection = await asyncpg.connect(plain_url.render_as_string(hide_password=False))
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def pids_of(database_url: str) -> set[int]:
    return set(await fetch(database_url, "SELECT pid FROM session_router.workers"))


async def worker_of_stream(service: Service, session_id: str) -> str:
    """Register a stream on a new connection; whose it is."""
    await service.ask("PUT", f"/sessions/{session_id}/agents/writer/a")
    [stream] = (await service.ask("GET", f"/sessions/{session_id}/streams")).document["items"]
    worker_id: str = stream["worker_id"]
    return worker_id


def is_there(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def until_gone(pids: set[int]) -> None:
    async def gone() -> bool:
        return not any(map(is_there, pids))

    await eventually(gone)


async def test_each_process_is_a_worker_and_answers(postgres_url: str) -> None:
    with Service.running(database_url=postgres_url, http_workers=PROCESSES) as service:
        pids = await pids_of(postgres_url)
        assert len(pids) == PROCESSES
        assert service.pid not in pids
        workers: set[str] = set()
        for number in range(200):
            workers.add(await worker_of_stream(service, f"s{number}"))
            if len(workers) == PROCESSES:
                break
        assert len(workers) == PROCESSES


async def test_one_that_was_killed_is_started_anew_and_its_streams_are_reaped(
    postgres_url: str,
) -> None:
    settings = {"database_url": postgres_url, "http_workers": 2, **QUICK_LEASE}
    with Service.running(**settings) as service:  # type: ignore[arg-type]
        before = await pids_of(postgres_url)
        worker_id = await worker_of_stream(service, "chat")
        [killed] = await fetch(
            postgres_url, f"SELECT pid FROM session_router.workers WHERE worker_id = '{worker_id}'"
        )
        os.kill(killed, signal.SIGKILL)

        async def reaped() -> bool:
            streams = await service.ask("GET", "/sessions/chat/streams")
            return not streams.document["items"]

        async def complete() -> bool:
            pids = await pids_of(postgres_url)
            return len(pids) == 2 and killed not in pids

        await eventually(reaped, within=60)
        await eventually(complete, within=60)
        assert before - {killed} < await pids_of(postgres_url)
        assert f"process_ended pid={killed} code=-9" in service.log
        outcomes = "SELECT outcome FROM session_router.session_events WHERE outcome IS NOT NULL"
        assert await fetch(postgres_url, outcomes) == ["worker_lost"]
        service.order(signal.SIGINT)
        assert await service.exit_code() == 0


@pytest.mark.parametrize("told", ["the program", "every process"])
async def test_after_sigterm_all_drain_and_leave_nothing_behind(
    postgres_url: str, told: str
) -> None:
    with Service.running(
        database_url=postgres_url, http_workers=PROCESSES, drain_sec=1.5
    ) as service:
        pids = await pids_of(postgres_url)
        for number in range(5):
            await worker_of_stream(service, f"s{number}")
        service.order(signal.SIGTERM)
        for pid in pids if told == "every process" else ():  # as service managers do
            os.kill(pid, signal.SIGTERM)
        await until_unready(service)
        assert (await service.ask("PUT", "/sessions/late")).status == 200
        assert await service.exit_code() == 0
        await until_gone(pids)
        assert "process_ended" not in service.log
        assert "Traceback" not in service.log
    assert await pids_of(postgres_url) == set()
    outcomes = "SELECT DISTINCT outcome FROM session_router.session_events WHERE stream_id NOTNULL"
    assert set(await fetch(postgres_url, outcomes)) == {None, "worker_stopped"}


async def test_a_second_signal_ends_all_at_once(postgres_url: str) -> None:
    with Service.running(database_url=postgres_url, http_workers=2, drain_sec=600) as service:
        pids = await pids_of(postgres_url)
        service.order(signal.SIGTERM)
        await until_unready(service)
        service.order(signal.SIGINT)
        assert await service.exit_code() == 128 + signal.SIGINT
        await until_gone(pids)


@pytest.mark.parametrize("is_draining", [False, True])
async def test_when_the_program_is_killed_its_processes_end_as_they_should(
    postgres_url: str, is_draining: bool
) -> None:
    with Service.running(database_url=postgres_url, http_workers=2, drain_sec=600) as service:
        pids = await pids_of(postgres_url)
        await worker_of_stream(service, "chat")
        if is_draining:
            service.order(signal.SIGTERM)
            await until_unready(service)
        service.order(signal.SIGKILL)
        await until_gone(pids)
    assert await pids_of(postgres_url) == set()
    outcomes = "SELECT outcome FROM session_router.session_events WHERE outcome IS NOT NULL"
    assert await fetch(postgres_url, outcomes) == ["worker_stopped"]


async def test_a_port_in_use_is_named_with_the_remedy(sqlite_url: str) -> None:
    said = r"127\.0\.0\.1 port {} \(Address already in use\).*SESSION_ROUTER_HTTP_PORT"
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ServeError, match=said.format(port)):
            run(Settings(database_url=sqlite_url, http_port=port, http_workers=2))
    with Service.running(database_url=sqlite_url, http_workers=2) as service:
        settings = Settings(database_url=sqlite_url, http_port=service.port, http_workers=2)
        with pytest.raises(ServeError, match=said.format(service.port)):
            await asyncio.to_thread(run, settings)
