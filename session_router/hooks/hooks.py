"""Hooks of a process: it delivers what is owed, and may carry some of it out itself."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from sqlalchemy.ext.asyncio import AsyncEngine

from session_router.database.engine import name_of
from session_router.errors import UnsupportedError
from session_router.events import SessionEvent
from session_router.hooks.deliverer import PAUSES, Deliverer
from session_router.hooks.hook import Delivery, NewHook
from session_router.hooks.store import HookStore
from session_router.outages import outage_of
from session_router.settings import DEFAULT_SCHEMA
from session_router.worker.supervisor import Job, Supervisor

if TYPE_CHECKING:
    from session_router.hooks.sender import Sender

_LOOK_EVERY_SEC: Final = 1.0

Callback = Callable[[SessionEvent], Awaitable[None]]
"""Takes an event. What it raises has the event told again later, so it must bear repetition."""


def _sender() -> "Sender":
    try:
        from session_router.hooks.sender import Sender
    except ImportError as error:
        raise UnsupportedError(
            f"to send hooks needs {error.name}; install 'session-router[hooks]', or leave the "
            "sending to others by 'urls=False'."
        ) from error
    return Sender()


class Hooks:
    """Delivers what hooks are owed, from this process, for the length of the block.

    At least once: what was told may be told again, as when the process died before it could note
    that; the `event_id` is the same. The events of one session come in the order of the trail, one
    at a time; what was given up, after some three days of attempts, is passed over.

    Args:
        engine: of a repository, or another async engine on asyncpg or aiosqlite; it stays the
            caller's to dispose of.
        schema: the PostgreSQL schema that holds the tables; SQLite has none.
        urls: whether requests are sent from here, which needs the extra `hooks`.
        pauses: the pauses between attempts.

    Raises:
        InvalidSettingError: the schema cannot be called so.
        InvalidDatabaseUrlError: the engine is of another kind.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        schema: str = DEFAULT_SCHEMA,
        urls: bool = True,
        pauses: Sequence[timedelta] = PAUSES,
    ) -> None:
        self._store = HookStore(engine, schema=schema)
        self._callbacks: dict[str, Callback] = {}
        self._new: list[NewHook] = []
        self._urls = urls
        self._pauses = pauses
        self._supervisor = Supervisor(outage_of(name_of(engine)))
        self._block = AsyncExitStack()

    def on(
        self, name: str, events: Iterable[str], callback: Callback, *, owner: str | None = None
    ) -> None:
        """Have a callback told, from the next entering of the block on.

        Args:
            name: the same in every process that carries it out, and after every restart: what it
                is owed is kept under this name, while none of them runs, too.
            events: of `HookEvent`.
            callback: called with one event at a time of each session.
            owner: only of this owner's sessions; None: of everybody's.

        Raises:
            InvalidValueError: the name, an event or the owner is not acceptable.
        """
        self._new.append(NewHook.to_callback(name, events, owner))
        self._callbacks[name] = callback

    async def __aenter__(self) -> Self:
        for hook in self._new:
            await self._store.put(hook)
        sender = await self._block.enter_async_context(_sender()) if self._urls else None

        async def tell(delivery: Delivery, event: SessionEvent) -> None:
            if sender is not None and delivery.hook.url is not None:
                await sender.send(delivery, event)
            else:
                await self._callbacks[delivery.hook.hook_id](event)

        deliverer = Deliverer(
            self._store, tell, list(self._callbacks), urls=self._urls, pauses=self._pauses
        )
        for end in (deliverer.close, self._supervisor.stop):
            self._block.push_async_callback(end)
        self._supervisor.start(Job("hooks", deliverer.run_once, lambda: _LOOK_EVERY_SEC))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._block.aclose()
