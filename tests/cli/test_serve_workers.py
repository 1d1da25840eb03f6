"""`session-router serve --workers`: as an operator starts it."""

import asyncio
import signal
import subprocess

import httpx

from session_router.demo import READERS
from tests.cli.program import Program
from tests.support.waiting import eventually


async def address_of(service: subprocess.Popen[str]) -> str:
    """The address that it prints when all listen; the demo may say something before that."""
    assert service.stdout is not None
    async with asyncio.timeout(60):
        while line := await asyncio.to_thread(service.stdout.readline):
            if line.startswith("Serving on "):
                return line.split()[2]
    raise AssertionError(service.communicate())


async def test_the_demo_runs_in_one_of_several_workers(program: Program) -> None:
    options = ("--demo", "--workers", "2", "--port", "0")
    with program.process("serve", *options, drain_sec="0") as service:
        url = await address_of(service)
        async with httpx.AsyncClient(base_url=url) as client:

            async def all_read() -> bool:
                items = (await client.get("/sessions")).json()["items"]
                return len([agent for each in items for agent in each["agents_streaming"]]) == 3

            await eventually(all_read, within=60)
        workers = (await program.call("workers", "--json")).json_lines
        assert sorted(worker["streams"] for worker in workers) == [0, len(READERS)]
        service.send_signal(signal.SIGTERM)
        await asyncio.to_thread(service.communicate)
        assert service.returncode == 0


async def test_a_number_of_workers_that_is_none_is_refused_by_name(program: Program) -> None:
    done = await program.call("serve", "--workers", "0")
    assert done.code == 2
    assert "SESSION_ROUTER_HTTP_WORKERS=0" in done.err
