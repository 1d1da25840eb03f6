"""A chat whose answers stop from any process; with the extra `http`. In the folder `examples`:

session-router db upgrade --database-url sqlite:///examples.db
uvicorn fastapi_chat:app --workers 2
curl -N -X POST http://127.0.0.1:8000/chat/chat-1
curl -X POST http://127.0.0.1:8000/chat/chat-1/stop
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Annotated

from fastapi import Depends, FastAPI

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.fastapi import PROBLEM_HANDLERS, AgentStreamResponse, lifespan, session_manager

manager = SessionManager(SQLAlchemySessionRepository.from_url("sqlite:///examples.db"))
app = FastAPI(lifespan=lifespan(manager), exception_handlers=PROBLEM_HANDLERS)
Manager = Annotated[SessionManager, Depends(session_manager)]


async def answer() -> AsyncIterator[str]:  # your agent
    for number in count(1):
        yield f"word{number} "
        await asyncio.sleep(0.1)


@app.post("/chat/{session_id}")
async def chat(session_id: str, manager: Manager) -> AgentStreamResponse:
    return AgentStreamResponse(manager.stream(session_id, AgentId("writer", "a"), answer))


@app.post("/chat/{session_id}/stop")
async def stop(session_id: str, manager: Manager) -> dict[str, str | None]:
    stopped = await manager.interrupt_streaming_agents(session_id, actor="ann", wait=10)
    return {str(agent): outcome for agent, outcome in stopped.items()}
