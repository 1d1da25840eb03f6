"""How a worker that was reaped, as while it was paused, goes on as its next incarnation."""

from uuid import UUID

from session_router import logs
from session_router.doorbell import Doorbell
from session_router.worker.dispatcher import Dispatcher
from session_router.worker.incarnation import Incarnation
from session_router.worker.local_streams import LocalStreams


class Succession:
    """Takes leave of what the reaped incarnation had.

    Args:
        incarnation: which is to become the next one.
        streams: what streams here; those of the reaped incarnation are lost.
        dispatcher: cancels them.
        doorbell: rings for the new one from then on; None where nothing rings.
    """

    def __init__(
        self,
        incarnation: Incarnation,
        streams: LocalStreams,
        dispatcher: Dispatcher,
        doorbell: Doorbell | None,
    ) -> None:
        self._incarnation = incarnation
        self._streams = streams
        self._dispatcher = dispatcher
        self._doorbell = doorbell

    async def begin_anew(self, reaped: UUID) -> None:
        """Go on as a new incarnation: the streams of the one that was reaped are lost."""
        if not await self._incarnation.succeed(reaped):
            return
        lost = self._streams.registered()
        logs.worker_lost_streams(reaped, len(lost))
        for stream in lost:
            self._dispatcher.cancel(stream)
        if self._doorbell is not None:
            self._doorbell.follow()
        await self._incarnation.enter()
