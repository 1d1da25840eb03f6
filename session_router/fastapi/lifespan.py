"""A manager's life within its application's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from session_router.fastapi.orders import told_to_end
from session_router.manager import SessionManager

_IS_DRAINING: Final = "is_session_manager_draining"


def lifespan(
    manager: SessionManager,
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """The lifespan of an application that streams: `FastAPI(lifespan=lifespan(manager))`.

    It starts the manager; in the end it shuts the manager down and closes its repository. Servers
    wait for open answers before they end a lifespan. So where the operating system asks the
    process to end (SIGTERM, SIGINT), the manager is shut down at once: its streams end as
    `worker_stopped`, and their answers complete. Later ones are refused. In another thread than
    the main one, as in test clients, signals are not heard.

    A lifespan of one's own takes it in, and hands on what it gives:
    `async with lifespan(manager)(app) as state: yield {**state, ...}`.
    """

    @asynccontextmanager
    async def living(_: Any) -> AsyncIterator[dict[str, Any]]:
        try:
            async with manager, _drained(manager) as is_draining:
                yield {"session_manager": manager, _IS_DRAINING: is_draining}
        finally:
            await manager.repository.close()

    return living


async def session_manager(connection: HTTPConnection) -> SessionManager:
    """The manager of the application that serves a request; a dependency for FastAPI.

    `manager: Annotated[SessionManager, Depends(session_manager)]`, or in Starlette
    `await session_manager(request)`.
    """
    manager: SessionManager = connection.state.session_manager
    return manager


def is_draining(scope: Scope) -> bool:
    """Whether the application shuts down; never where its lifespan is none of ours."""
    asked: Callable[[], bool] | None = scope.get("state", {}).get(_IS_DRAINING)
    return asked is not None and asked()


@asynccontextmanager
async def _drained(manager: SessionManager) -> AsyncIterator[Callable[[], bool]]:
    """Shut the manager down when the process is told to end, or else with the block.

    Yields whether that has begun.
    """
    async with told_to_end() as told:
        draining = asyncio.create_task(_drain(manager, told))
        try:
            yield told.is_set
        finally:
            told.set()
            await draining


async def _drain(manager: SessionManager, told: asyncio.Event) -> None:
    await told.wait()
    await manager.shutdown()
