"""The checks after the storm find what they are there for, and nothing in what is right."""

from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

from session_router.events import EventName, SessionEvent, SignalOutcome, StreamOutcome
from tests.faults.checks import findings
from tests.faults.evidence import Journals, Trail
from tests.faults.findings import told
from tests.faults.journal import Entry

AGENT = {"agent_type": "writer", "agent_key": "0"}
_numbers = count(1)


class Story:
    """A worker's journal and the trail, written side by side; each entry is a second later."""

    def __init__(self) -> None:
        self.written: list[Entry] = []
        self.events: list[SessionEvent] = []
        self.session_uid, self.request_id, self.stream_id = uuid4(), uuid4(), uuid4()
        self._seconds = count(1_800_000_000)

    def notes(self, what: str, **facts: Any) -> None:
        self.written.append({"at": float(next(self._seconds)), "what": what, **facts})

    def asks(self, name: str, **asked: Any) -> int:
        number = next(_numbers)
        self.notes("asked", call=number, name=name, actor=f"w/{number}", session="s", **asked)
        return number

    def is_answered(self, number: int, answer: Any) -> None:
        self.notes("answered", call=number, answer=answer)

    def is_refused(self, number: int, **facts: Any) -> None:
        self.notes("raised", call=number, **{"raw": False, "message": "it says so"} | facts)

    def happens(self, event: EventName, **facts: Any) -> None:
        self.events.append(
            SessionEvent(
                event_id=next(_numbers),
                occurred_at=datetime.fromtimestamp(next(self._seconds), UTC),
                session_id="s",
                session_uid=self.session_uid,
                event=event,
                **facts,
            )
        )

    def found(self) -> str:
        journals = Journals()
        journals.add("w", self.written)
        return "\n".join(told(findings(journals, Trail(self.events, []))))


def registered(story: Story, *, is_recorded: bool = True) -> None:
    number = story.asks("register_agent", agent="writer/0")
    if is_recorded:
        story.happens(EventName.STREAM_STARTED, stream_id=story.stream_id, **AGENT)
    story.is_answered(number, str(story.stream_id))


def interrupted(story: Story, number: int) -> None:
    request = {"request_id": story.request_id}
    story.happens(EventName.INTERRUPT_REQUESTED, actor=f"w/{number}", **request)
    story.happens(
        EventName.STREAM_FINISHED,
        stream_id=story.stream_id,
        outcome=StreamOutcome.INTERRUPTED,
        **AGENT,
        **request,
    )


def settled(story: Story, outcome: SignalOutcome) -> None:
    story.happens(
        EventName.SIGNAL_SETTLED,
        stream_id=story.stream_id,
        request_id=story.request_id,
        outcome=outcome,
        **AGENT,
    )


def test_a_story_in_which_all_is_right_gives_nothing_away() -> None:
    story = Story()
    registered(story)
    number = story.asks("interrupt_streaming_agents")
    interrupted(story, number)
    story.notes("cancelled", agent="writer/0")
    settled(story, SignalOutcome.DELIVERED)
    story.is_answered(number, {"writer/0": "delivered"})
    assert story.found() == ""


def test_a_registration_that_the_trail_has_not_is_lost() -> None:
    story = Story()
    registered(story, is_recorded=False)
    assert "not in the trail" in story.found()


def test_an_end_that_came_only_after_its_answer_was_lost_in_between() -> None:
    story = Story()
    registered(story)
    unmarking = {"stream_id": str(story.stream_id), "is_named": True}
    story.is_answered(story.asks("unmark_agent_streaming", **unmarking), "None")
    end = {"stream_id": story.stream_id, "outcome": StreamOutcome.WORKER_LOST}
    story.happens(EventName.STREAM_FINISHED, **AGENT, **end)
    assert "not in the trail" in story.found()


def test_a_life_of_a_session_that_nobody_knows_of_is_lost() -> None:
    story = Story()
    number = story.asks("start_session")
    story.is_answered(number, {"start_time": datetime.now(UTC).isoformat()})
    assert "not in the trail" in story.found()


def test_a_receipt_that_says_otherwise_than_the_trail_is_found() -> None:
    story = Story()
    registered(story)
    number = story.asks("interrupt_streaming_agents")
    interrupted(story, number)
    settled(story, SignalOutcome.LOST)
    story.is_answered(number, {"writer/0": "delivered"})
    assert "a receipt that the trail does not have" in story.found()


def test_what_was_refused_as_not_written_and_is_there_is_found() -> None:
    story = Story()
    number = story.asks("end_session")
    start = datetime.fromtimestamp(1, UTC)
    story.happens(EventName.SESSION_ENDED, actor=f"w/{number}", started_at=start)
    story.is_refused(number, error="DatabaseUnavailableError", nothing_written=True)
    assert "'nothing was written', and it was" in story.found()


def test_a_source_that_goes_on_after_its_receipt_is_found() -> None:
    story = Story()
    source = {"stream_id": str(story.stream_id)}
    story.notes("opened", shape="endless", **source)
    settled(story, SignalOutcome.DELIVERED)
    for _ in range(2):
        story.notes("item", **source)
    story.notes("closed", **source)
    assert "delivered, and it went on: endless" in story.found()


def test_an_agent_that_was_never_told_makes_its_receipt_untrue() -> None:
    story = Story()
    registered(story)
    settled(story, SignalOutcome.DELIVERED)
    assert "the agent was not told" in story.found()


def test_a_foreign_error_is_found_whether_a_caller_meets_it_or_the_log() -> None:
    story = Story()
    story.is_refused(story.asks("get_session"), error="CannotConnectNowError", raw=True)
    logged = {"level": "ERROR", "event": "job_failed", "message": "job_failed", "trace": None}
    story.notes("logged", raw=True, **logged)
    assert "CannotConnectNowError from get_session" in story.found()
    assert "raw error in the log: job_failed" in story.found()
