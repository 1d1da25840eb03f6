"""One connection of a remote worker, by which it is told its signals."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

from session_router.repository.records import Signal

_HELD: Final = 50
"""How many signals one connection holds at the most: what a client does not read stays in the
database, and not in the memory of this process."""


class Connection:
    """Tells each unsettled signal of one worker once.

    Args:
        worker_id: the worker.
        look: called when this has told all that it held, and there is more.

    Attributes:
        is_gone: whether the worker has no row any more.
        is_over: whether nothing more is told, for this reason or another.
    """

    def __init__(self, worker_id: UUID, look: Callable[[UUID], None]) -> None:
        self.worker_id = worker_id
        self.is_gone = False
        self.is_over = False
        self._look = look
        self._told: set[UUID] = set()
        self._next: list[Signal] = []
        self._has_more = False
        self._stirred = asyncio.Event()

    @property
    def is_free(self) -> bool:
        """Whether it has told all that it was offered."""
        return not self._next

    def offer(self, unsettled: Sequence[Signal] | None) -> None:
        """What is unsettled at the moment; None where the worker is gone."""
        if unsettled is None:
            self.is_gone = True
            self.end()
        elif self._next:
            self._has_more = True
        else:
            self._told &= {signal.signal_id for signal in unsettled}
            fresh = [signal for signal in unsettled if signal.signal_id not in self._told]
            self._next, self._has_more = fresh[:_HELD], len(fresh) > _HELD
            self._told.update(signal.signal_id for signal in self._next)
            if self._next:
                self._stirred.set()

    def end(self) -> None:
        """Tell nothing more."""
        self.is_over = True
        self._stirred.set()

    async def stirred(self, within_sec: float) -> None:
        """Return when there is something to tell, or it is over, or after that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_sec):
                await self._stirred.wait()

    def take(self) -> list[Signal]:
        """What is to be told now."""
        self._stirred.clear()
        taken, self._next = self._next, []
        if self._has_more:
            self._has_more = False
            self._look(self.worker_id)
        return taken
