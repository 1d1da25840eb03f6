"""Stoppable answers in applications of one's own, on FastAPI or on Starlette alone."""

from session_router.fastapi.handlers import PROBLEM_HANDLERS
from session_router.fastapi.lifespan import lifespan, session_manager
from session_router.fastapi.response import AgentStreamResponse

__all__ = ["PROBLEM_HANDLERS", "AgentStreamResponse", "lifespan", "session_manager"]
