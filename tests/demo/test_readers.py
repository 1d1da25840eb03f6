"""The demo's agents: somebody always reads, and nothing makes them stop for good."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from session_router import (
    AgentId,
    DatabaseUnavailableError,
    InMemorySessionRepository,
    SessionManager,
)
from session_router.demo import READERS, WORD_SEC, Reader, read_aloud
from session_router.repository.changes import Register
from session_router.repository.results import Registration
from tests.support.laws import violations
from tests.support.trail import story
from tests.support.waiting import eventually

READER = Reader("s", AgentId("reader", "a"), "some words to read")


class Fragile(InMemorySessionRepository):
    """Away for the first registrations."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    async def register_stream(self, asked: Register) -> Registration:
        if self.refusals:
            self.refusals -= 1
            raise DatabaseUnavailableError("away")
        return await super().register_stream(asked)


class Demo:
    """Readers at work, and what they said."""

    def __init__(self, manager: SessionManager) -> None:
        self.manager = manager
        self.said: list[str] = []
        self.task = asyncio.create_task(read_aloud(manager, self.said.append, [READER]))

    async def story(self) -> list[str]:
        """What happened, but for what became of signals: who is told to stop waits for nobody."""
        told = await story(self.manager.repository, "s")
        return [line for line in told if not line.startswith("signal_settled")]

    async def streams(self) -> bool:
        return bool(await self.manager.repository.list_streams("s"))


async def demo_of(repository: InMemorySessionRepository) -> AsyncIterator[Demo]:
    async with SessionManager(repository) as manager:
        demo = Demo(manager)
        yield demo
        demo.task.cancel()
        await asyncio.wait({demo.task})
        assert demo.task.cancelled()
        assert not await demo.streams()
    assert await violations(repository) == []


@pytest.fixture
async def quick(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Demo]:
    """A reader that takes no time over its words."""
    monkeypatch.setattr("session_router.demo.readers.WORD_SEC", 0)
    async for demo in demo_of(InMemorySessionRepository()):
        yield demo


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Demo]:
    """A reader that never comes to its first word, and is back at once when it was stopped."""
    monkeypatch.setattr("session_router.demo.readers.WORD_SEC", 3_600)
    monkeypatch.setattr("session_router.demo.readers.REST_SEC", 0)
    async for demo in demo_of(InMemorySessionRepository()):
        yield demo


def test_every_text_takes_half_a_minute_or_more() -> None:
    assert min(len(reader.text.split()) * WORD_SEC for reader in READERS) >= 30


async def test_who_reads_to_the_end_begins_again(quick: Demo) -> None:
    await eventually(lambda: len(quick.said) > 4)

    assert quick.said[:3] == [
        "s: reader/a begins",
        "s: reader/a has read all 4 words",
        "s: reader/a begins",
    ]
    assert (await quick.story())[:4] == [
        "session_started",
        "stream_started reader/a",
        "stream_finished completed reader/a",
        "stream_started reader/a",
    ]


async def test_who_was_interrupted_begins_again_with_a_new_stream(slow: Demo) -> None:
    await eventually(slow.streams)

    await slow.manager.interrupt_streaming_agents("s")
    await eventually(slow.streams)

    assert (await slow.story())[1:] == [
        "stream_started reader/a",
        "interrupt_requested",
        "stream_finished interrupted reader/a",
        "stream_started reader/a",
    ]
    assert "s: reader/a was stopped after 0 words; begins again in 0 s" in slow.said


async def test_a_session_that_was_ended_begins_again(slow: Demo) -> None:
    await eventually(slow.streams)

    await slow.manager.end_session("s")
    await eventually(slow.streams)

    assert (await slow.story())[-2:] == ["session_started", "stream_started reader/a"]


async def test_a_database_that_is_away_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("session_router.demo.readers.retry_pause", lambda failures: 0)

    async for demo in demo_of(Fragile(refusals=3)):
        await eventually(demo.streams)

        assert sum("could not stream; tries again" in line for line in demo.said) == 3
