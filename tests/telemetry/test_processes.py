"""Several processes behind one port: a scrape tells the same, whichever of them answers."""

import asyncio
import os
import re
import signal
from contextlib import suppress

import httpx

from tests.http.service import Service
from tests.http.test_processes import pids_of
from tests.support.waiting import eventually

PROCESSES = 3
COUNTERS = ("interrupts_total", "group_commit_batch_size_sum", "stream_duration_seconds_count")


async def scrape(service: Service) -> str:
    """A scrape on a connection of its own."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{service.host}:{service.port}/metrics")
    assert answer.status_code == 200, answer.text
    return answer.text


def total(text: str, name: str) -> float:
    found = re.findall(rf"^session_router_{name}(?:{{.*}})? (.*)$", text, re.MULTILINE)
    return sum(map(float, found))


async def stop_streams(service: Service, number: int) -> None:
    for each in range(number):
        await service.ask("PUT", f"/sessions/s{each}/agents/writer/a")
        await service.ask("POST", f"/sessions/s{each}/interrupt")


async def counts_of(service: Service, *, interrupts: int) -> dict[str, float]:
    """What is counted, once so many interrupts are."""

    async def counted() -> str:
        text = await scrape(service)
        return text if total(text, "interrupts_total") == interrupts else ""

    text = await eventually(counted, within=60)
    return {name: total(text, name) for name in COUNTERS}


async def test_every_process_tells_of_all(postgres_url: str) -> None:
    with Service.running(database_url=postgres_url, http_workers=PROCESSES) as service:
        await stop_streams(service, 20)
        await counts_of(service, interrupts=20)

        async def all_the_same() -> set[str]:
            scrapes = await asyncio.gather(*(scrape(service) for _ in range(30)))
            return set(scrapes) if len(set(scrapes)) == 1 else set()

        [text] = await eventually(all_the_same, within=60)
        assert total(text, "stream_duration_seconds_count") == 20
        assert total(text, "workers_live") == PROCESSES
        # A registration and a stop of each, whichever process carried them out.
        assert total(text, "group_commit_batch_size_sum") >= 40


async def test_nothing_that_was_counted_is_lost_with_a_process(postgres_url: str) -> None:
    with Service.running(database_url=postgres_url, http_workers=2) as service:
        await stop_streams(service, 10)
        before = await counts_of(service, interrupts=10)
        for pid in await pids_of(postgres_url):
            os.kill(pid, signal.SIGKILL)

            async def is_back(killed: int = pid) -> bool:
                with suppress(httpx.TransportError):
                    text = await scrape(service)
                    assert all(total(text, name) >= before[name] for name in COUNTERS)
                    return killed not in await live_pids(service)
                return False

            await eventually(is_back, within=60)
        with suppress(ConnectionError):
            await stop_streams(service, 5)
        after = await counts_of(service, interrupts=15)
        assert all(after[name] >= before[name] for name in COUNTERS)


async def live_pids(service: Service) -> set[int]:
    """The processes that the program has at the moment."""
    children = f"/proc/{service.pid}/task/{service.pid}/children"
    with open(children) as file:  # noqa: ASYNC230, PTH123 - the kernel's own file, at once there
        return set(map(int, file.read().split()))
