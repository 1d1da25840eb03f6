"""What `stop_streams` of `database/definitions/stops_0007.py` answers, as values."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from session_router.agent_id import AgentId
from session_router.events import SignalAction
from session_router.repository.changes import Stop
from session_router.repository.records import NO_WORKER, Signal, StreamRow
from session_router.repository.results import StopRequest
from session_router.repository.sql.batches.group_commit import Retry
from session_router.session import Session, stored

if TYPE_CHECKING:
    import asyncpg


class Stopped:
    """The stops of one batch: one a session, all of one filter and owner. Others are retried.

    So are those that may be repetitions: each is decided in a transaction of its own.

    Attributes:
        matching: the filter.
        owner: on whose behalf.
        asked: the stops that the batch carries out, by session.
    """

    def __init__(self, asked: Sequence[Stop], action: SignalAction) -> None:
        self.matching, self.owner = asked[0].matching, asked[0].owner
        self.asked: dict[str, Stop] = {}
        for stop in asked:
            is_alike = (stop.matching, stop.owner) == (self.matching, self.owner)
            if is_alike and not stop.once:
                self.asked.setdefault(stop.session_id, stop)
        self._action = action
        self._rows: dict[str, list[asyncpg.Record]] = defaultdict(list)

    def take(self, rows: "Iterable[asyncpg.Record]") -> None:
        """Take the server's answer."""
        for row in rows:
            self._rows[row["session_id"]].append(row)

    def request_of(self, stop: Stop) -> StopRequest | Retry | None:
        """What became of a stop; None: its session does not live."""
        if self.asked.get(stop.session_id) is not stop:
            return Retry.IN_OWN_TRANSACTION
        rows = self._rows.get(stop.session_id)
        if rows is None:
            return None
        if rows[0]["is_busy"]:
            return Retry.IN_OWN_TRANSACTION
        taken_out = streams_and_signals(rows, stop.request_id, self._action)
        return StopRequest(stop.request_id, *taken_out)

    def next_life_of(
        self, stop: Stop, timeout_minutes: float | None
    ) -> tuple[Session, StopRequest] | Retry:
        """The session that took the place of the one that was stopped, or of none."""
        request = self.request_of(stop)
        if request is None or isinstance(request, Retry):
            return Retry.IN_OWN_TRANSACTION
        moment = self._rows[stop.session_id][0]["moment"]
        columns = {
            "session_id": stop.session_id,
            "start_time": moment,
            "last_updated": moment,
            "owner": stop.owner,
            "timeout_minutes": timeout_minutes,
        }
        return stored(columns, set()), request


def streams_and_signals(
    rows: "Iterable[asyncpg.Record]", request_id: UUID, action: SignalAction
) -> tuple[list[StreamRow], list[Signal]]:
    """The streams that were taken out, in key order, and the signals to their workers."""
    streams, signals = [], []
    for row in rows:
        if row["stream_id"] is None:
            continue
        agent_id = AgentId.stored(row["agent_type"], row["agent_key"])
        names = row["session_id"], agent_id, row["stream_id"], row["worker_id"]
        streams.append(StreamRow(*names, row["started_at"]))
        if row["worker_id"] != NO_WORKER:
            signals.append(
                Signal(
                    signal_id=row["signal_id"],
                    worker_id=row["worker_id"],
                    request_id=request_id,
                    session_id=row["session_id"],
                    session_uid=row["session_uid"],
                    agent_id=agent_id,
                    stream_id=row["stream_id"],
                    action=action,
                    requested_at=row["moment"],
                )
            )
    return streams, signals
