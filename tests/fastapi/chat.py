"""A chat as users write it, over the database that the environment names; its agents are fakes."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.fastapi import PROBLEM_HANDLERS, AgentStreamResponse, lifespan, session_manager
from tests.fastapi.agreed import DATABASE, IS_UP

manager = SessionManager(SQLAlchemySessionRepository.from_url(os.environ[DATABASE]))


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@asynccontextmanager
async def living(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with lifespan(manager)(app) as state:
        tell(IS_UP)
        yield state


app = FastAPI(lifespan=living, exception_handlers=PROBLEM_HANDLERS)
Manager = Annotated[SessionManager, Depends(session_manager)]


async def flowing() -> AsyncIterator[str]:
    yield str(os.getpid())
    for number in count(1):
        yield f"word{number}"
        await asyncio.sleep(0.02)


async def silent() -> AsyncIterator[str]:
    try:
        yield str(os.getpid())
        await asyncio.Event().wait()
    finally:
        tell("the silent source has closed")


async def slow_to_close() -> AsyncIterator[str]:
    try:
        yield str(os.getpid())
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(3)
        tell("the slow source has closed")


async def short() -> AsyncIterator[str]:
    yield "done"


async def failing() -> AsyncIterator[str]:
    yield "thinking"
    raise ValueError("the model said something secret")


AGENTS: Final[dict[str, Callable[[], AsyncIterator[str]]]] = {
    agent.__name__: agent for agent in (flowing, silent, slow_to_close, short, failing)
}


@app.get("/pid")
async def pid() -> int:
    return os.getpid()


@app.post("/chat/{session_id}")
async def chat(
    session_id: str, manager: Manager, agent: str = "flowing", seconds_before: float = 0
) -> AgentStreamResponse:
    tell("about to answer")
    await asyncio.sleep(seconds_before)
    stream = manager.stream(session_id, AgentId(agent, "a"), AGENTS[agent])
    return AgentStreamResponse(stream)


@app.post("/chat/{session_id}/stop")
async def stop(session_id: str, manager: Manager) -> dict[str, str | None]:
    stopped = await manager.interrupt_streaming_agents(session_id, actor="ann", wait=10)
    return {str(agent): outcome for agent, outcome in stopped.items()}
