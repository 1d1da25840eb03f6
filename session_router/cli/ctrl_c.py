"""Whether Ctrl-C was pressed, whatever it came to."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def noted() -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C within the block; yields what tells whether it came.

    It cancels what runs, but that may be failing in this very moment for another reason, or make
    another error of its cancellation. A handler of ours would put asyncio's out of action, so the
    interpreter writes down for us which signals come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals are the main thread's
        return
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield lambda: _came(reader)
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def _came(reader: int) -> bool:
    try:
        return signal.SIGINT in os.read(reader, 65_536)
    except BlockingIOError:
        return False
