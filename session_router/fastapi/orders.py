"""How a process learns that it is to end, whatever server runs in it."""

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # some platforms have no semaphores, and there the import fails
    from multiprocessing.synchronize import Event

_ORDERS: Final = (signal.SIGTERM, signal.SIGINT)
_POLL_SEC: Final = 0.05


@asynccontextmanager
async def told_to_end() -> AsyncIterator[asyncio.Event]:
    """Yields what is set when the process is told to end, within the block.

    Whatever else hears it, hears it as ever. Only in the main thread are signals heard.
    """
    told = asyncio.Event()
    with _heard(told):
        following = asyncio.create_task(_follow(_parents_event(), told))
        try:
            yield told
        finally:
            following.cancel()
            await asyncio.wait({following})


@contextmanager
def _heard(told: asyncio.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    handlers = {order: signal.getsignal(order) for order in _ORDERS}

    def hear(order: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(told.set)
        handler = handlers[signal.Signals(order)]
        # Where the server hears by its event loop, this does nothing, and the loop hears as well.
        if callable(handler):
            handler(order, frame)

    for order, handler in handlers.items():
        if callable(handler):
            signal.signal(order, hear)
    try:
        yield
    finally:
        for order, handler in handlers.items():
            if signal.getsignal(order) is hear:
                signal.signal(order, handler)


def _parents_event() -> "Event | None":
    """What hypercorn ends its worker processes by: an event that it has started them with.

    There is no public way to it. Where this one fails some day, `graceful_timeout` bounds the
    answers, which are then cut.
    """
    process = multiprocessing.current_process()
    run = getattr(process, "_target", None)
    if not getattr(run, "__module__", "").startswith("hypercorn."):
        return None
    event: Event | None = getattr(process, "_kwargs", {}).get("shutdown_event")
    return event


async def _follow(event: "Event | None", told: asyncio.Event) -> None:
    if event is None:
        return
    while not event.is_set():  # noqa: ASYNC110 - another process sets it
        await asyncio.sleep(_POLL_SEC)
    told.set()
    # The parent terminates the other workers as soon as one has ended, by a signal that hypercorn
    # does not handle in them; but they have heard, and end by themselves when they are done.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
