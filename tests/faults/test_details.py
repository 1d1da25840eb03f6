"""What is said of a stream or a signal, and cannot be said or stored, holds nothing up."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from session_router import AgentId, SessionManager, SessionRepository, SQLAlchemySessionRepository
from session_router.http import create_app
from session_router.settings import Tuning
from tests.http.conftest import client_of
from tests.http.remote import enter, register
from tests.support.databases import PostgresDatabases
from tests.support.errors import MuteError
from tests.support.laws import violations
from tests.support.runtimes import Runtime
from tests.support.sources import Source, fail_with
from tests.support.trail import events, settlements
from tests.support.waiting import eventually

A, B, C = (AgentId("writer", key) for key in "abc")
SMILE = "\U0001f642"


@pytest.fixture
async def in_latin1(postgres: PostgresDatabases) -> AsyncIterator[SessionRepository]:
    with postgres.in_latin1() as url:
        repository = SQLAlchemySessionRepository.from_url(url)
        yield repository
        assert await violations(repository) == []
        await repository.close()


def raises(error: Exception) -> None:
    raise error


async def test_a_stream_is_finished_though_its_error_cannot_be_stored(
    in_latin1: SessionRepository,
) -> None:
    async with SessionManager(in_latin1) as manager:
        stream = manager.stream("s", A, Source(then=fail_with(ValueError(f"é {SMILE}"))))
        with pytest.raises(ValueError, match=SMILE):
            await anext(stream)
        assert stream.outcome == "failed"
        assert await in_latin1.list_streams("s") == []
    [finished] = await events(in_latin1, "stream_finished")
    assert finished.detail == "ValueError: \\xe9 \\U0001f642"


@pytest.mark.parametrize("at_shutdown", [False, True])
async def test_a_signal_whose_detail_cannot_be_stored_holds_up_no_other(
    in_latin1: SessionRepository, at_shutdown: bool
) -> None:
    bad = ValueError(SMILE)
    runtime = Runtime(a=lambda: raises(bad), b=lambda: None, c=lambda: raises(OSError("é")))
    owner = SessionManager(in_latin1, runtime, tuning=Tuning(poll_interval_sec=3_600))
    for agent in (A, B, C):
        await owner.register_agent("s", agent)
    if at_shutdown:
        await in_latin1.interrupt_streams("s", None, owner._worker.incarnation.requester())
    else:
        await owner.interrupt_streaming_agents("s")
    await owner.shutdown()
    assert await settlements(in_latin1) == {
        "writer/a": ("failed", "cancel raised ValueError: \\U0001f642"),
        "writer/b": ("delivered", None),
        "writer/c": ("failed", "cancel raised OSError: é"),
    }
    assert [runtime.cancels(key) for key in "abc"] == [1, 1, 1]


async def test_what_a_remote_worker_says_is_stored_as_far_as_that_is_possible(
    in_latin1: SessionRepository,
) -> None:
    async with (
        SessionManager(in_latin1) as manager,
        client_of(create_app(manager)) as client,
    ):
        worker_id = await enter(client)
        said = {"a": f"é {SMILE}", "b": "é"}
        for key in said:
            await register(client, worker_id, f"writer/{key}")
        await client.post("/sessions/chat/interrupt")
        items = [
            {"signal_id": str(s.signal_id), "outcome": "failed", "detail": said[s.agent_id.key]}
            for s in await in_latin1.unsettled_signals(UUID(worker_id))
        ]
        answer = await client.post(f"/workers/{worker_id}/settlements", json={"items": items})
        assert answer.json() == {"settled": 2}
        stream_id = await register(client, worker_id)
        params = {"stream_id": stream_id, "worker_id": worker_id, "detail": SMILE}
        ended = await client.delete("/sessions/chat/agents/writer/a", params=params)
        assert ended.status_code == 204
    assert await settlements(in_latin1) == {
        "writer/a": ("failed", "\\xe9 \\U0001f642"),
        "writer/b": ("failed", "\\xe9"),
    }
    finished = await events(in_latin1, "stream_finished")
    assert finished[-1].detail == "\\U0001f642"


async def test_an_error_without_text_ends_its_stream(repository: SessionRepository) -> None:
    async with SessionManager(repository) as manager:
        stream = manager.stream("s", A, Source("one", then=fail_with(MuteError())))
        assert await anext(stream) == "one"
        with pytest.raises(MuteError):
            await anext(stream)
        assert await repository.list_streams("s") == []
    [finished] = await events(repository, "stream_finished")
    assert finished.detail == "MuteError: (no text: that raised RuntimeError)"


async def test_an_agent_whose_cancel_raises_an_error_without_text_is_cancelled_once(
    repository: SessionRepository,
) -> None:
    runtime = Runtime(a=lambda: raises(MuteError()))
    tuning = Tuning(poll_interval_sec=0.02)
    async with SessionManager(repository, runtime, tuning=tuning) as manager:
        await manager.register_agent("s", A)
        assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "failed"}
        # A later signal is found by a later poll, which would see the first one if it were left.
        await manager.register_agent("s", B)
        await repository.interrupt_streams("s", None, manager._worker.incarnation.requester())
        await eventually(lambda: runtime.cancels("b"))
    assert (runtime.cancels("a"), runtime.cancels("b")) == (1, 1)
