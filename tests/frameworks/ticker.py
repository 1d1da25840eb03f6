"""A ticker in the event loop: what the loop does to it, it does to a model and a heartbeat."""

import asyncio
import time
from types import TracebackType
from typing import Self

from tests.frameworks.fake import TOKEN_SEC


class Ticker:
    """Ticks at the pace of a model's tokens from entering to leaving."""

    def __init__(self) -> None:
        self._times = [time.monotonic()]
        self._has_ticked = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._tick(), name="ticker")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()

    async def ticks(self, number: int) -> None:
        """Return after so many ticks more."""
        for _ in range(number):
            await self._has_ticked.wait()

    def longest_gap_sec(self, since: float) -> float:
        """The longest time between two ticks, of those that had not passed at `since`."""
        pairs = zip(self._times, self._times[1:], strict=False)
        return max((later - tick for tick, later in pairs if later > since), default=0)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TOKEN_SEC)
            self._times.append(time.monotonic())
            self._has_ticked.set()
            self._has_ticked.clear()
