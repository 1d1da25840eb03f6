"""Waiting for what other tasks, workers and databases do in their own time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

_PAUSE_SEC = 0.005


class Gate:
    """Keeps whoever comes by until it is opened."""

    def __init__(self) -> None:
        self.is_reached = asyncio.Event()
        self._is_open = asyncio.Event()

    async def __call__(self) -> None:
        self.is_reached.set()
        await self._is_open.wait()

    def open(self) -> None:
        self._is_open.set()


@overload
async def eventually(condition: Callable[[], Awaitable[T]], within: float = ...) -> T: ...
@overload
async def eventually(condition: Callable[[], T], within: float = ...) -> T: ...
async def eventually(condition: Callable[[], Any], within: float = 30) -> Any:
    """Try `condition` until it holds; returns what it gave.

    Args:
        condition: plain or awaitable; it holds when it gives something true.
        within: fail the test when it does not hold after so many seconds.
    """
    deadline = asyncio.get_running_loop().time() + within
    while True:
        given = condition()
        holds = await given if inspect.isawaitable(given) else given
        if holds:
            return holds
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"after {within:g} s this does not hold: {condition!r}")
        await asyncio.sleep(_PAUSE_SEC)
