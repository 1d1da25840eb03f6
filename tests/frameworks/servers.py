"""Other servers than uvicorn as it comes: told to end, they complete all answers at once.

They are in an environment of their own, so that this is run by its path only.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from session_router import SQLAlchemySessionRepository
from tests.fastapi.server import Answer, Server
from tests.support.trail import events

PYTHON: Final = Path(__file__).parents[2] / "build/frameworks/servers/bin/python"
UVICORN: Final = "uvicorn {app} --port {port} --loop asyncio"
HYPERCORN: Final = "hypercorn {app} --bind 127.0.0.1:{port} --workers {processes}"
IN_ITS_OWN_PROCESS: Final = "hypercorn {app} --bind 127.0.0.1:{port} --workers 0"
UVLOOP: Final = " --worker-class uvloop"
GUNICORN: Final = (
    "gunicorn {app} --bind 127.0.0.1:{port} --workers {processes} "
    "--worker-class uvicorn_worker.UvicornWorker"
)


def _shortly(value: object) -> str:
    """A command without what is the same for all."""
    return " ".join(word for word in str(value).split() if "{" not in word)


@pytest.fixture
async def repository(sqlite_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    yield repository
    await repository.close()


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT], ids=lambda order: order.name)
@pytest.mark.parametrize(
    ("command", "processes"),
    [
        (UVICORN, 1),
        (UVICORN + " --workers 2", 2),
        (IN_ITS_OWN_PROCESS, 1),
        (IN_ITS_OWN_PROCESS + UVLOOP, 1),
        (HYPERCORN, 1),
        (HYPERCORN, 2),
        (HYPERCORN + UVLOOP, 2),
        (GUNICORN, 1),
        (GUNICORN, 2),
    ],
    ids=_shortly,
)
async def test_told_to_end_it_completes_all_answers_at_once(
    command: str,
    processes: int,
    order: signal.Signals,
    sqlite_url: str,
    repository: SQLAlchemySessionRepository,
) -> None:
    if command is GUNICORN and order is signal.SIGINT:
        pytest.skip("uvicorn's worker for gunicorn does not heed it, idle or not")
    async with (
        Server.running(command, sqlite_url, processes=processes, python=PYTHON) as server,
        server.client() as client,
        AsyncExitStack() as open_answers,
    ):
        answers = [
            await open_answers.enter_async_context(Answer.opened(client, f"/chat/{number}"))
            for number in range(20)
        ]
        server.order(order)
        ends = await asyncio.gather(*(answer.end() for answer in answers))
        assert ends == [("stopped", "interrupted")] * 20
        await _has_ended_well(server, command, order)
    outcomes = [event.outcome for event in await events(repository, "stream_finished")]
    assert outcomes == ["worker_stopped"] * 20
    assert await repository.list_workers() == []


@pytest.mark.parametrize("command", [UVICORN + " --workers 2", HYPERCORN, GUNICORN], ids=_shortly)
async def test_a_process_that_takes_longer_than_the_other_is_waited_for(
    command: str, sqlite_url: str, repository: SQLAlchemySessionRepository
) -> None:
    async with (
        Server.running(command, sqlite_url, processes=2, python=PYTHON) as server,
        server.client() as client,
        Answer.opened(client, "/chat/1", agent="slow_to_close") as answer,
    ):
        server.order(signal.SIGTERM)
        assert await answer.end() == ("stopped", "interrupted")
        await _has_ended_well(server, command, signal.SIGTERM)
        assert "the slow source has closed" in server.log
    assert await repository.list_workers() == []


async def _has_ended_well(server: Server, command: str, order: signal.Signals) -> None:
    """Ended by itself, and far sooner than by the limits that servers have for open answers."""
    code = await server.exit_code(within=25)
    # Uvicorn sends itself the signal again when it is done, where it has no parent.
    assert code == (-order if (command, order) == (UVICORN, signal.SIGTERM) else 0)
    assert "Traceback" not in server.log
