"""Delivers what hooks are owed: at least once, in order for each session, each hook by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

from session_router import logs
from session_router.events import SessionEvent
from session_router.hooks.hook import Delivery, Hook
from session_router.hooks.store import HookStore
from session_router.text import clip, with_storable

PAUSES: Final[Sequence[timedelta]] = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    *([timedelta(hours=1)] * 3),
    *([timedelta(hours=6)] * 4),
    *([timedelta(hours=12)] * 4),
)
"""After each attempt that failed; when the next one fails, too, it is given up: in some 3 days."""

_TOGETHER: Final = 32

Tell = Callable[[Delivery, SessionEvent], Awaitable[None]]
"""Tells a hook of an event. Whatever it raises, that is tried again."""


class Deliverer:
    """What one process does of it. Others may do the same: each delivery is claimed by one.

    Args:
        store: what is owed.
        tell: see `Tell`.
        callbacks: the names of those that are carried out here.
        urls: whether requests are sent here.
        pauses: as `PAUSES`.
    """

    def __init__(
        self,
        store: HookStore,
        tell: Tell,
        callbacks: Sequence[str],
        *,
        urls: bool,
        pauses: Sequence[timedelta] = PAUSES,
    ) -> None:
        self._store = store
        self._tell = tell
        self._callbacks = callbacks
        self._urls = urls
        self._pauses = pauses
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def run_once(self) -> int:
        """Begin with each hook for which something is due; returns how many these are.

        A hook that is slow holds up no other one: nobody waits for it here.

        Raises:
            SessionRouterError: the database failed one of those that were begun before.
        """
        over = [hook_id for hook_id, task in self._under_way.items() if task.done()]
        ended = [self._under_way.pop(hook_id) for hook_id in over]
        met = [error for task in ended if (error := task.exception()) is not None]
        if met:
            raise _first_in(met[0])
        due = await self._store.due(self._callbacks, urls=self._urls)
        fresh = [hook for hook in due if hook.hook_id not in self._under_way]
        for hook in fresh:
            self._under_way[hook.hook_id] = asyncio.create_task(self._deliver_to(hook))
        return len(fresh)

    async def close(self) -> None:
        """Leave what is under way; it is due again when its claim is over."""
        tasks, self._under_way = list(self._under_way.values()), {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _deliver_to(self, hook: Hook) -> None:
        """All that is due of a hook, the sessions beside each other."""
        while claimed := await self._store.claim(hook, _TOGETHER):
            async with asyncio.TaskGroup() as group:
                for delivery in claimed:
                    group.create_task(self._deliver(delivery))

    async def _deliver(self, delivery: Delivery) -> None:
        if delivery.event is not None:
            try:
                await self._tell(delivery, delivery.event)
            except Exception as error:  # whatever a receiver does
                await self._put_off(delivery, error)
                return
        await self._store.delivered(delivery)

    async def _put_off(self, delivery: Delivery, error: Exception) -> None:
        tried = delivery.attempts - 1
        pause = self._pauses[tried] if tried < len(self._pauses) else None
        hook_id = delivery.hook.hook_id
        logs.hook_failed(hook_id, delivery.delivery_id, delivery.attempts, error, pause)
        told = clip(str(error) or type(error).__name__)
        await with_storable(lambda text: self._store.failed(delivery, text, pause), told)


def _first_in(error: BaseException) -> BaseException:
    """Of what befell the sessions of a hook beside each other, one stands for all."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
