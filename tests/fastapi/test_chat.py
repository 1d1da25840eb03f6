"""A chat of uvicorn processes, over each database: stopped, cut off, ended."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from session_router import SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade
from tests.fastapi.server import Answer, Server
from tests.support.postgres import PostgresServer
from tests.support.trail import events, story
from tests.support.waiting import eventually

UVICORN = "uvicorn {app} --port {port} --workers {processes}"
ONE_PROCESS = "uvicorn {app} --port {port}"


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    yield repository
    await repository.close()


async def test_an_answer_is_stopped_through_the_other_process(
    database_url: str, repository: SQLAlchemySessionRepository
) -> None:
    async with (
        Server.running(UVICORN, database_url, processes=2) as server,
        server.client() as client,
        Answer.opened(client, "/chat/1", agent="flowing") as answer,
        server.client_of_another(int(answer.events.data[0])) as other,
    ):
        receipts = (await other.post("/chat/1/stop")).json()
        assert await answer.end() == ("stopped", "interrupted")
    assert receipts == {"flowing/a": "delivered"}
    assert "stream_finished interrupted flowing/a" in await story(repository)


async def test_answers_end_as_they_end_and_a_client_that_goes_stops_its_silent_agent(
    database_url: str, repository: SQLAlchemySessionRepository
) -> None:
    async with Server.running(ONE_PROCESS, database_url) as server, server.client() as client:
        async with Answer.opened(client, "/chat/1", agent="short") as answer:
            assert await answer.end() == ("completed", "completed")
        async with Answer.opened(client, "/chat/1", agent="failing") as answer:
            assert await answer.end() == ("failed", "failed")
        assert "secret" not in str(answer.events.told)
        await eventually(lambda: "ValueError: the model said something secret" in server.log)
        # The server closes the connection of an answer that failed, perhaps only when it is asked.
        async with (
            server.client() as another,
            Answer.opened(another, "/chat/1", agent="silent") as answer,
        ):
            assert answer.events.data
        await eventually(lambda: "the silent source has closed" in server.log)
        await eventually(lambda: _tells(repository, "stream_finished abandoned silent/a"))


async def test_without_its_database_it_says_so_and_with_it_answers_again() -> None:
    with PostgresServer() as postgres:
        await upgrade(Target(postgres.url()))
        async with Server.running(ONE_PROCESS, postgres.url()) as server, server.client() as client:
            postgres.stop()
            for path in ("/chat/1", "/chat/1/stop"):
                refused = await client.post(path)
                assert refused.status_code == 503
                assert refused.headers["retry-after"] == "1"
                assert refused.json()["type"] == "urn:session-router:problem:database-unavailable"
            postgres.start()
            async with Answer.opened(client, "/chat/1", agent="short") as answer:
                assert await answer.end() == ("completed", "completed")


@pytest.mark.parametrize("processes", [1, 2])
async def test_told_to_end_it_completes_all_answers_at_once(
    database_url: str, repository: SQLAlchemySessionRepository, processes: int
) -> None:
    command = ONE_PROCESS if processes == 1 else UVICORN
    async with (
        Server.running(command, database_url, processes=processes) as server,
        server.client() as client,
        AsyncExitStack() as open_answers,
    ):
        answers = [
            await open_answers.enter_async_context(
                Answer.opened(client, f"/chat/{number}", agent="silent")
            )
            for number in range(20)
        ]
        server.order(signal.SIGTERM)
        # It takes a third of a second here; without the drain it would never end.
        code = await server.exit_code(within=30)
        assert [await answer.end() for answer in answers] == [("stopped", "interrupted")] * 20
        # Uvicorn sends itself the signal again when it is done, where it has no parent.
        assert code == (-signal.SIGTERM if processes == 1 else 0)
        assert "Traceback" not in server.log
    outcomes = [event.outcome for event in await events(repository, "stream_finished")]
    assert outcomes == ["worker_stopped"] * 20
    assert await repository.list_workers() == []


async def test_a_request_that_is_under_way_begins_no_answer_any_more(sqlite_url: str) -> None:
    async with Server.running(ONE_PROCESS, sqlite_url) as server, server.client() as client:
        asking = asyncio.create_task(client.post("/chat/1", params={"seconds_before": 1}))
        await eventually(lambda: "about to answer" in server.log)
        server.order(signal.SIGTERM)
        refused = await asking
        await server.exit_code()
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:session-router:problem:worker-gone"


async def _tells(repository: SQLAlchemySessionRepository, line: str) -> bool:
    return line in await story(repository)
