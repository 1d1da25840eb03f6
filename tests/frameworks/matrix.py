"""Every framework's agent is stopped in every situation, on both databases.

`make frameworks` runs it, in two processes for each cell: this one interrupts, and the one that
the agent runs in has its framework's own environment. `SESSION_ROUTER_TEST_FRAMEWORKS` names
those to run.
"""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from tests.frameworks.behaviour import LEFT_BY_ITS_CONSUMER, Report
from tests.frameworks.catalogue import EXAMPLES, Framework, chosen
from tests.frameworks.fake import Situation
from tests.frameworks.host import AGENT, SESSION
from tests.frameworks.results import Cell, keep
from tests.support.processes import PythonProcess
from tests.support.trail import events

CHOSEN = chosen(os.environ.get("SESSION_ROUTER_TEST_FRAMEWORKS", ""))
RECEIPT_WITHIN_SEC = 20.0


@pytest.fixture(params=[f for f in CHOSEN if f.has_agent], ids=lambda framework: framework.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    found: Framework = request.param
    assert found.python.exists(), f"{found.name} has no environment; 'make frameworks' makes it"
    return found


@pytest.mark.parametrize("situation", Situation, ids=lambda situation: situation.name.lower())
async def test_what_runs_is_stopped_or_the_limit_is_known(
    framework: Framework,
    situation: Situation,
    postgres_url: str,
    sqlite_url: str,
    subtests: pytest.Subtests,
) -> None:
    databases = {"postgresql": postgres_url, "sqlite": sqlite_url}
    host = ("-m", "tests.frameworks.host", framework.name, situation, *databases.values())
    async with PythonProcess.started(*host, python=framework.python) as process:
        for database, url in databases.items():
            assert await process.line(within=90) == "ready"
            receipt = await stop(process, situation, url)
            report = Report(**json.loads(await process.line(within=60)))
            with subtests.test(database):
                assert report.behaviour(receipt) == report.expected, told(report)
                assert await outcome_in_trail(url) == report.outcome
                assert report.tool_has_ended == (situation is Situation.SYNC_TOOL)
                keep(Cell(framework.name, situation, database, receipt, report))
        assert await process.result() == ""


async def stop(process: PythonProcess, situation: Situation, database_url: str) -> str | None:
    """Interrupt what streams there, and say when; returns the receipt.

    A stream that its consumer leaves needs nobody.
    """
    if situation in LEFT_BY_ITS_CONSUMER:
        return None
    repository = SQLAlchemySessionRepository.from_url(database_url)
    async with SessionManager(repository) as manager:
        await manager.interrupt_streaming_agents("another")  # the first call ever takes longer
        asked_at = time.monotonic()
        receipts = await manager.interrupt_streaming_agents(SESSION, wait=RECEIPT_WITHIN_SEC)
        # This clock is the machine's, the same in every process.
        await process.tell(json.dumps([asked_at, time.monotonic()]))
    await repository.close()
    return receipts[AGENT]


def told(report: Report) -> str:
    return json.dumps(asdict(report), indent=2)


async def outcome_in_trail(database_url: str) -> str | None:
    """How the first stream has ended."""
    repository = SQLAlchemySessionRepository.from_url(database_url)
    first, *_ = await events(repository, "stream_finished")
    await repository.close()
    return first.outcome


@pytest.mark.parametrize("example", [f for f in CHOSEN if f.example], ids=lambda f: f.name)
async def test_an_example_goes_on_until_another_process_stops_it(
    example: Framework, tmp_path: Path
) -> None:
    assert example.example is not None
    async with PythonProcess.started(
        str(EXAMPLES / example.example), cwd=tmp_path, python=example.python
    ) as streaming:
        assert await streaming.beginning(within=180)
        stopping = PythonProcess.started(str(EXAMPLES / "stream_stop.py"), "stop", cwd=tmp_path)
        async with stopping as other:
            assert (await other.result()).endswith(" delivered\n")
        await streaming.result()
        assert streaming.said() == ""
