"""The doorbell over HTTP: a stream of events, which brings the signals themselves."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from session_router import logs
from session_router.client.mirror import Mirror
from session_router.client.service import Service, path_of
from session_router.doorbell import WakeUps
from session_router.errors import is_outage
from session_router.outages import outage_of
from session_router.repository.records import Signal
from session_router.worker.supervisor import retry_pause

_LONGEST_RETRY_SEC: Final = 2.0
_LIFE_UNTOLD: Final = UUID(int=0)
_SIGNAL: Final = TypeAdapter(Signal)


class Signals:
    """Reads a worker's signals as they come, and all unsettled ones at each new connection.

    Args:
        service: whom to ask.
        mirror: gives, in the running loop, where the signals are kept until they are settled.
        worker_ids: gives whose signals: one worker's.
        ring: called with it when one has come.
    """

    def __init__(
        self,
        service: Service,
        mirror: Callable[[], Mirror],
        worker_ids: Callable[[], Collection[UUID]],
        ring: Callable[[UUID], None],
    ) -> None:
        self._service = service
        self._mirror = mirror
        self._worker_ids = worker_ids
        self._ring = ring
        self._stirred = asyncio.Event()
        self._failures = 0
        self.wake_ups = WakeUps("polling", "not connected yet")
        self.outage = outage_of(service.url)

    @property
    def retry_sec(self) -> float:
        """How long to wait until the next try, in seconds."""
        return retry_pause(self._failures, _LONGEST_RETRY_SEC)

    async def run_once(self) -> None:
        """Read for as long as the connection lives and the worker stays the same."""
        self._stirred.clear()
        [worker_id] = self._worker_ids()
        reading = asyncio.create_task(self._read(worker_id), name="signals over HTTP")
        stirred = asyncio.create_task(self._stirred.wait(), name="another worker")
        try:
            await asyncio.wait({reading, stirred}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            self._fall_back("the service has ended the stream of signals, or the worker began anew")
        except asyncio.CancelledError:
            self.wake_ups = WakeUps("polling", "the reader of signals was stopped")
            raise
        except Exception as error:  # whatever it meets, it connects again
            self._fall_back(logs.explain(error), passes=is_outage(error))
        finally:
            reading.cancel()
            stirred.cancel()
            await asyncio.wait({reading, stirred})

    def follow(self) -> None:
        """Read anew: the worker has become another incarnation."""
        self._stirred.set()

    async def _read(self, worker_id: UUID) -> None:
        async with self._service.events(path_of("workers", worker_id, "signals")) as lines:
            self._failures = 0
            self._announce(WakeUps("listening"))
            async for event, data in events_of(lines):
                if event == "gone":
                    return
                if event == "signal" and await self._mirror().take(_signal(worker_id, data)):
                    self._ring(worker_id)

    def _fall_back(self, reason: str, *, passes: bool = True) -> None:
        self._failures += 1
        self._announce(WakeUps("polling", reason), passes=passes)

    def _announce(self, wake_ups: WakeUps, *, passes: bool = True) -> None:
        if wake_ups != self.wake_ups:
            self.wake_ups = wake_ups
            logs.wake_ups_changed(wake_ups.mode, wake_ups.reason, passes=passes)


async def events_of(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    """Each server-sent event's name and data; comments, and what else there may be, are passed."""
    name, data = "", list[str]()
    async for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not line:
            if data:
                yield name or "message", "\n".join(data)
            name, data = "", []


def _signal(worker_id: UUID, data: str) -> Signal:
    told: dict[str, Any] = json.loads(data)
    return _SIGNAL.validate_python({**told, "worker_id": worker_id, "session_uid": _LIFE_UNTOLD})
