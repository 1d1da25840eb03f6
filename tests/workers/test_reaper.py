"""Who is reaped: only whom the reaper has seen silent, whatever the database's clock says."""

import logging
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from session_router import AgentId, SessionRepository, SQLAlchemySessionRepository
from session_router.repository.changes import Register
from session_router.repository.results import Leftovers
from session_router.worker.heartbeat import Heartbeat
from session_router.worker.reaper import Reaper
from tests.support.by_hand import execute

ALICE = AgentId("writer", "alice")
LEASE_SEC = 30.0
PASS_SEC = LEASE_SEC / 3


class Watch:
    """A worker that beats and reaps, on a clock of its own that goes only when it is told."""

    def __init__(self, repository: SessionRepository) -> None:
        self.repository = repository
        self.worker_id = uuid4()
        self.now = 1_000.0
        self._heartbeat = Heartbeat(repository, LEASE_SEC, 1_800, lambda: self.now)
        self._reaper = Reaper(repository, self._heartbeat, LEASE_SEC)

    async def enter(self) -> None:
        await self.repository.add_worker(self.worker_id, "host", 1)
        await self._heartbeat.beat(self.worker_id)

    async def passes(self, count: int, *alive: UUID) -> list[Leftovers]:
        """So many passes of the reaper, before each of which all that live beat."""
        return [await self._pass(*alive) for _ in range(count)]

    async def _pass(self, *alive: UUID) -> Leftovers:
        self.now += PASS_SEC
        for worker_id in alive:
            await self.repository.beat(worker_id)
        assert await self._heartbeat.beat(self.worker_id), "the reaper was reaped itself"
        return await self._reaper.run_once()


@pytest.fixture
async def watch(repository: SessionRepository) -> Watch:
    watch = Watch(repository)
    await watch.enter()
    return watch


async def worker(repository: SessionRepository) -> UUID:
    worker_id = uuid4()
    await repository.add_worker(worker_id, "host", 1)
    return worker_id


async def with_a_stream(repository: SessionRepository) -> UUID:
    worker_id = await worker(repository)
    await repository.register_stream(
        Register(str(worker_id), ALICE, worker_id, uuid4(), renew=False)
    )
    return worker_id


async def test_a_worker_that_has_died_is_cleared_within_two_leases(
    watch: Watch, repository: SessionRepository
) -> None:
    alive, dead = await with_a_stream(repository), await with_a_stream(repository)
    await watch.passes(3, alive, dead)  # until it has been steady for a lease
    cleared = await watch.passes(5, alive)
    assert sum(cleared, Leftovers()) == Leftovers(streams=1, workers=1)
    assert await repository.list_streams(str(dead)) == []
    assert set(await repository.heartbeats()) == {watch.worker_id, alive}


async def test_whom_it_has_reaped_the_log_names_with_their_hosts_and_pids(
    watch: Watch, repository: SessionRepository, caplog: pytest.LogCaptureFixture
) -> None:
    on_one, on_two = uuid4(), uuid4()
    await repository.add_worker(on_one, "web-1", 4711)
    await repository.add_worker(on_two, 'a "b" c', 12)
    with caplog.at_level(logging.WARNING, "session_router"):
        await watch.passes(5)
    [record] = caplog.records
    assert record.getMessage().startswith("workers_reaped workers=2 streams=0 signals=0 reaped=")
    assert f"{on_one}@web-1:4711" in record.getMessage()
    told = getattr(record, "session_router")["reaped"]  # noqa: B009 - not one of logging's own
    assert sorted(told, key=lambda each: int(each["pid"])) == [
        {"worker_id": on_two, "host": 'a "b" c', "pid": 12},
        {"worker_id": on_one, "host": "web-1", "pid": 4711},
    ]


async def test_those_that_died_before_the_reaper_came_are_cleared_within_two_leases(
    watch: Watch, repository: SessionRepository
) -> None:
    await with_a_stream(repository)
    assert sum(await watch.passes(5), Leftovers()) == Leftovers(streams=1, workers=1)


@pytest.mark.parametrize("step", [timedelta(hours=1), -timedelta(hours=1)])
async def test_a_step_of_the_databases_clock_kills_nobody_and_keeps_no_dead_one_alive(
    database_url: str, step: timedelta
) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    watch = Watch(repository)
    await watch.enter()
    alive, dead = await with_a_stream(repository), await with_a_stream(repository)
    await watch.passes(6, alive, dead)
    # All heartbeats are an hour away from the clock at once, as they are after it was set.
    await execute(database_url, moved(database_url, step))
    assert await watch.passes(1) == [Leftovers()]
    cleared = await watch.passes(4, alive)
    assert sum(cleared, Leftovers()) == Leftovers(streams=1, workers=1)
    assert await watch.passes(12, alive) == [Leftovers()] * 12
    assert set(await repository.heartbeats()) == {watch.worker_id, alive}
    await repository.close()


async def test_a_worker_that_beats_in_the_moment_in_which_it_is_reaped_lives(
    repository: SessionRepository,
) -> None:
    worker_id = await with_a_stream(repository)
    seen = await repository.heartbeats()
    earlier = {worker_id: seen[worker_id] - timedelta(milliseconds=1)}
    assert await repository.reap_workers(earlier) == Leftovers()
    assert await repository.reap_workers(seen) == Leftovers(streams=1, workers=1)


async def test_a_reaper_that_was_blind_begins_to_watch_anew(
    watch: Watch, repository: SessionRepository
) -> None:
    other = await with_a_stream(repository)
    await watch.passes(6, other)
    watch.now += 20 * LEASE_SEC  # as when this machine stood still, or no answer came
    assert await watch.passes(3) == [Leftovers()] * 3
    assert await watch.passes(3, other) == [Leftovers()] * 3
    assert sum(await watch.passes(4), Leftovers()) == Leftovers(streams=1, workers=1)


def moved(url: str, step: timedelta) -> str:
    """The statement that makes every heartbeat so much older."""
    seconds = step.total_seconds()
    earlier = f"heartbeat_at - make_interval(secs => {seconds})"
    if url.startswith("sqlite"):
        earlier = f"strftime('%Y-%m-%d %H:%M:%f000', heartbeat_at, '{-seconds:+.0f} seconds')"
    return f"UPDATE session_router.workers SET heartbeat_at = {earlier} RETURNING 1"
