"""What must be true after the storm, of what was acknowledged and of what was said meanwhile."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from session_router.events import EventName, SessionEvent, SignalOutcome
from tests.faults.evidence import Call, Journals, Trail
from tests.faults.findings import Finding

_CLOCKS_SEC: Final = 0.05
"""The worker and the database read one clock, but not at one moment."""

LOST: Final = "acknowledged, and not in the trail"
UNTRUE: Final = "delivered, and it went on"


def findings(journals: Journals, trail: Trail) -> Iterator[Finding]:
    """Everything that the journals and the trail give away."""
    yield from raw_errors(journals)
    for call in journals.calls:
        if call.is_acknowledged:
            yield from _CHECKS.get(call.name, _nothing)(call, trail)
        else:
            yield from unacknowledged(call, trail)
    yield from untrue_receipts(journals, trail)
    for worker, entry in journals.warned_while_leaving:
        yield Finding("a warning at a stop in order", f"{worker}: {entry['message']}")


def raw_errors(journals: Journals) -> Iterator[Finding]:
    """No caller and no log may meet an error that is not this package's own."""
    for call in journals.calls:
        if call.outcome is not None and call.outcome.get("raw"):
            error, message = call.outcome["error"], call.outcome["message"]
            yield Finding(f"raw error: {error} from {call.name}", f"{call.worker}: {message}")
    for worker, entry in journals.logged:
        if entry["raw"]:
            last = (entry["trace"] or "").strip().rsplit("\n", 1)[-1]
            kind = f"raw error in the log: {entry['event']} {last.split(':')[0]}".rstrip()
            yield Finding(kind, f"{worker}: {entry['message'].splitlines()[0]} | {last}")


def unacknowledged(call: Call, trail: Trail) -> Iterator[Finding]:
    """What had no answer happened once at the most; not at all where the caller was told so."""
    found = _requests(call, trail)
    if len(found) > 1:
        yield Finding("asked once, done twice", str(call))
    if found and call.wrote_nothing:
        yield Finding("'nothing was written', and it was", str(call))


def _nothing(call: Call, trail: Trail) -> Iterator[Finding]:
    yield from ()


def _started_session(call: Call, trail: Trail) -> Iterator[Finding]:
    """The very life that was answered lives, or has ended in the trail."""
    assert call.outcome is not None
    if call.outcome["answer"] is None:
        return
    start = datetime.fromisoformat(call.outcome["answer"]["start_time"])
    if trail.lives[call.asked["session"], start] != 1:
        yield Finding(LOST, f"{call} started at {start}")


def _registered(call: Call, trail: Trail) -> Iterator[Finding]:
    assert call.outcome is not None
    if not _once_by(trail.started[UUID(call.outcome["answer"])], call.outcome["at"]):
        yield Finding(LOST, f"{call}, stream {call.outcome['answer']}")


def _unmarked(call: Call, trail: Trail) -> Iterator[Finding]:
    """Over when it was answered, and not only when somebody cleared what was lost."""
    assert call.outcome is not None
    finished = trail.finished[UUID(call.asked["stream_id"])]
    if call.asked["is_named"] and not _once_by(finished, call.outcome["at"]):
        yield Finding(LOST, str(call))


def _interrupted(call: Call, trail: Trail) -> Iterator[Finding]:
    assert call.outcome is not None
    receipts: dict[str, str | None] = call.outcome["answer"]
    requests = _requests(call, trail)
    if len(requests) > 1:
        yield Finding("asked once, done twice", str(call))
    if not receipts:
        return
    if not _once_by(requests, call.outcome["at"]):
        yield Finding(LOST, str(call))
        return
    assert requests[0].request_id is not None
    events = trail.of_request[requests[0].request_id]
    if {str(e.agent_id) for e in _of(events, EventName.STREAM_FINISHED)} != set(receipts):
        yield Finding(LOST, f"{call} stopped {', '.join(receipts)}")
    settled = {str(e.agent_id): e.outcome for e in _of(events, EventName.SIGNAL_SETTLED)}
    for agent, outcome in receipts.items():
        if outcome is not None and settled.get(agent) != outcome:
            yield Finding("a receipt that the trail does not have", f"{call} {agent}: {outcome}")


def _ended(call: Call, trail: Trail) -> Iterator[Finding]:
    assert call.outcome is not None
    requests = _requests(call, trail)
    if call.outcome["answer"] and not _once_by(requests, call.outcome["at"]):
        yield Finding(LOST, str(call))
    if not call.outcome["answer"] and requests:
        yield Finding("ended, and its caller was told that there was nothing", str(call))


_CHECKS: Final[dict[str, Callable[[Call, Trail], Iterator[Finding]]]] = {
    "start_session": _started_session,
    "get_session": _started_session,
    "start_new_session": _started_session,
    "register_agent": _registered,
    "unmark_agent_streaming": _unmarked,
    "interrupt_streaming_agents": _interrupted,
    "end_session": _ended,
}


def untrue_receipts(journals: Journals, trail: Trail) -> Iterator[Finding]:
    """`delivered` means that the source had stopped, or that the agent had been told."""
    registered = _registered_streams(journals)
    for event in trail.settled:
        if event.outcome is not SignalOutcome.DELIVERED or event.stream_id is None:
            continue
        at = event.occurred_at.timestamp() + _CLOCKS_SEC
        if event.stream_id in journals.sources:
            yield from _goes_on(event, journals, at)
        elif event.stream_id in registered:
            worker, since = registered[event.stream_id]
            told = [t for t, agent in journals.cancels[worker] if agent == str(event.agent_id)]
            if not any(since - _CLOCKS_SEC <= t <= at for t in told):
                yield Finding("delivered, and the agent was not told", str(event.stream_id))


def _goes_on(event: SessionEvent, journals: Journals, at: float) -> Iterator[Finding]:
    assert event.stream_id is not None
    source = journals.sources[event.stream_id]
    late = sum(item > at for item in source.items_at)
    if late > 1:
        yield Finding(f"{UNTRUE}: {source.shape}", f"{event.stream_id}: {late} item(s) later")
    elif source.closed_at is None or source.closed_at > at:
        yield Finding(f"{UNTRUE}: {source.shape}", f"{event.stream_id}: closed {source.closed_at}")


def _registered_streams(journals: Journals) -> dict[UUID, tuple[str, float]]:
    """By whom, and when, each stream was registered for an agent of the runtime's."""
    return {
        UUID(call.outcome["answer"]): (call.worker, call.asked["at"])
        for call in reversed(journals.calls)  # the first of those that repeat it counts
        if call.name == "register_agent" and call.is_acknowledged and call.outcome
    }


def _requests(call: Call, trail: Trail) -> list[SessionEvent]:
    """What the trail has under the call's own actor."""
    return trail.of_actor.get(call.asked.get("actor", ""), [])


def _once_by(events: list[SessionEvent], at: float) -> bool:
    return len(events) == 1 and events[0].occurred_at.timestamp() <= at + _CLOCKS_SEC


def _of(events: list[SessionEvent], name: EventName) -> list[SessionEvent]:
    return [event for event in events if event.event is name]
