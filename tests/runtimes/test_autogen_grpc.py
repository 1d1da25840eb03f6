"""AutoGen agents in two processes, on its gRPC runtime: either worker stops the other's."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from session_router import SQLAlchemySessionRepository
from session_router.events import EventName, SignalOutcome, StreamOutcome
from tests.anywhere.conftest import WorkerProcess
from tests.support.laws import contents, violations
from tests.support.processes import PythonProcess
from tests.support.trail import events, settlements

TUNING = {"poll_interval_sec": 0.2}
DELIVERED = (str(SignalOutcome.DELIVERED), None)


@dataclass
class Office:
    """AutoGen's host, and two workers on it: each hosts the agents of its name."""

    repository: SQLAlchemySessionRepository
    host: PythonProcess
    north: WorkerProcess
    south: WorkerProcess
    worker_ids: dict[str, str]

    async def closes(self) -> None:
        """Both workers stop in good order: nothing is left to answer."""
        for worker in (self.north, self.south):
            await worker.tell("stop")
            await worker.ended()

    async def owners(self) -> dict[str, str]:
        """Which agent streamed in which worker."""
        names = {worker_id: name for name, worker_id in self.worker_ids.items()}
        started = await events(self.repository, EventName.STREAM_STARTED)
        return {str(event.agent_id): names[str(event.worker_id)] for event in started}


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    """Checks the conservation laws when the test is over."""
    repository = SQLAlchemySessionRepository.from_url(database_url)
    try:
        async with AsyncExitStack() as stack:
            host = await stack.enter_async_context(
                PythonProcess.running("tests.runtimes.grpc_host")
            )
            address = await host.line()
            workers = {}
            for name in ("north", "south"):
                options = {"host": address, "agent_type": name, "tuning": TUNING}
                process = PythonProcess.running(
                    "tests.runtimes.grpc_worker", database_url, json.dumps(options)
                )
                workers[name] = WorkerProcess(await stack.enter_async_context(process))
            ids = {name: (await w.hears("ready"))["worker_id"] for name, w in workers.items()}
            yield Office(repository, host, **workers, worker_ids=ids)
        assert await violations(repository) == []
        assert (await contents(repository)).stream_ids == []
    finally:
        await repository.close()


async def test_one_call_stops_the_agents_and_streams_of_both_workers(office: Office) -> None:
    north, south = office.north, office.south
    await north.tell("ask chat south/alice")
    await south.hears("writing", agent="south/alice")
    await south.tell("ask chat north/bob")
    await north.hears("writing", agent="north/bob")
    await south.tell("stream chat counter/carol")
    await south.hears("streaming", agent="counter/carol")
    assert await office.owners() == {
        "south/alice": "south",
        "north/bob": "north",
        "counter/carol": "south",
    }

    await north.tell("interrupt chat")

    outcomes = (await north.hears("interrupted"))["outcomes"]
    assert outcomes == dict.fromkeys(("counter/carol", "north/bob", "south/alice"), "delivered")
    # The handlers came to their ends, so the answers came back over gRPC.
    assert (await north.hears("answered", agent="south/alice"))["words"] > 0
    assert (await south.hears("answered", agent="north/bob"))["words"] > 0
    await south.hears("ended", agent="counter/carol", outcome=StreamOutcome.INTERRUPTED)
    await south.tell("made")
    assert (await south.hears("made"))["agents"] == ["south/alice"]  # no twin of it
    await north.tell("made")
    assert (await north.hears("made"))["agents"] == ["north/bob"]  # and none here of the other
    await office.closes()


async def test_an_agent_is_removed_in_the_worker_that_hosts_it(office: Office) -> None:
    north, south = office.north, office.south
    await north.tell("ask chat south/alice")
    await south.hears("writing", agent="south/alice")

    await north.tell("end chat")

    await north.hears("session_ended", there_was_one=True)
    await south.hears("closed", agent="south/alice")
    await north.hears("answered", agent="south/alice")
    # The next message meets a fresh instance, in a session of its own.
    await north.tell("ask chat south/alice")
    await south.hears("writing", agent="south/alice")
    await south.tell("made")
    assert (await south.hears("made"))["agents"] == ["south/alice", "south/alice"]
    await south.tell("end chat")
    await north.hears("answered", agent="south/alice")
    await office.closes()
    assert {e.outcome for e in await events(office.repository, EventName.SIGNAL_SETTLED)} == {
        SignalOutcome.DELIVERED
    }


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_agent_is_stopped_though_no_message_reaches_it_any_more(office: Office) -> None:
    north, south = office.north, office.south
    await north.tell("ask chat south/alice")
    await south.hears("writing", agent="south/alice")
    office.host.send(signal.SIGKILL)

    await north.tell("interrupt chat")

    assert (await north.hears("interrupted"))["outcomes"] == {"south/alice": "delivered"}
    await south.hears("stopped", agent="south/alice")
    assert await settlements(office.repository) == {"south/alice": DELIVERED}
