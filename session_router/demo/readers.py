"""Agents that read aloud: each streams a text word by word, again and again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from session_router.agent_id import AgentId
from session_router.demo.texts import MOBY_DICK, PRIDE_AND_PREJUDICE, TWO_CITIES
from session_router.events import StreamOutcome
from session_router.logs import explain
from session_router.manager import SessionManager
from session_router.worker.supervisor import retry_pause

WORD_SEC: Final = 0.25
"""The pause before each word: some 190 words make a stream of about 47 s."""

REST_SEC: Final = 5.0
"""How long a reader that was interrupted is silent before it begins again."""


@dataclass(frozen=True)
class Reader:
    """One agent of the demo.

    Attributes:
        begins_after_sec: so that they do not all begin, and end, at the same moment.
    """

    session_id: str
    agent_id: AgentId
    text: str
    begins_after_sec: float = 0


READERS: Final = (
    Reader("demo-1", AgentId("reader", "moby-dick"), MOBY_DICK),
    Reader("demo-2", AgentId("reader", "two-cities"), TWO_CITIES, 3),
    Reader("demo-3", AgentId("reader", "pride-and-prejudice"), PRIDE_AND_PREJUDICE, 6),
)


async def read_aloud(
    manager: SessionManager,
    say: Callable[[str], None],
    readers: Sequence[Reader] = READERS,
) -> None:
    """Let the readers read until this is cancelled.

    Who reads to the end begins again at once, so that at every moment somebody reads; who is
    interrupted, or finds the database away, after a while.

    Args:
        say: gets a line for every beginning and end.
    """
    async with asyncio.TaskGroup() as group:
        for reader in readers:
            group.create_task(_repeat(manager, say, reader))


async def _repeat(manager: SessionManager, say: Callable[[str], None], reader: Reader) -> None:
    name = f"{reader.session_id}: {reader.agent_id}"
    failures = 0
    await asyncio.sleep(reader.begins_after_sec)
    while True:
        say(f"{name} begins")
        try:
            outcome, words = await _read(manager, reader)
        except Exception as error:  # whatever it is, the demo is there to go on
            failures += 1
            pause = retry_pause(failures)
            say(f"{name} could not stream; tries again in {pause:.1f} s. {explain(error)}")
            await asyncio.sleep(pause)
            continue
        failures = 0
        if outcome is StreamOutcome.COMPLETED:
            say(f"{name} has read all {words} words")
        else:
            say(f"{name} was stopped after {words} words; begins again in {REST_SEC:g} s")
            await asyncio.sleep(REST_SEC)


async def _read(manager: SessionManager, reader: Reader) -> tuple[StreamOutcome | None, int]:
    """Stream the text once; returns how that ended, and how many words came."""
    words = 0
    async with aclosing(manager.stream(reader.session_id, reader.agent_id, _words(reader))) as said:
        async for _ in said:
            words += 1
    return said.outcome, words


async def _words(reader: Reader) -> AsyncIterator[str]:
    for word in reader.text.split():
        await asyncio.sleep(WORD_SEC)
        yield word
