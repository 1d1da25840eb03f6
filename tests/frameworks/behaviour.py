"""What is seen of a framework's agent when its stream is left, and what ought to be."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from tests.frameworks.fake import LONGEST_TOOL_SEC, Situation

LEFT_BY_ITS_CONSUMER: Final = {Situation.BREAK, Situation.CANCELLED_CONSUMER}
"""Here the stream ends from within; in the other situations another process interrupts it."""

MOST_TOKENS: Final = 1
"""The model may have been on its way to one more when it was told."""


@dataclass(frozen=True)
class Behaviour:
    """What a stop comes to.

    Attributes:
        receipt: what the interrupting process is told; None where nobody interrupts.
        outcome: how the stream ended, in the trail and for its consumer.
        model_goes_on: the model gives tokens afterwards, more than `MOST_TOKENS`.
        tool_goes_on: the tool makes steps afterwards.
        tasks_are_left: tasks that the stream began are there half a second afterwards.
        blocks_the_loop: the event loop stood still, and the worker's heartbeat with it.
        next_turn_completes: the same agent then answers in the same session.
    """

    receipt: str | None = "delivered"
    outcome: str = "interrupted"
    model_goes_on: bool = False
    tool_goes_on: bool = False
    tasks_are_left: bool = False
    blocks_the_loop: bool = False
    next_turn_completes: bool = True


def wanted(situation: Situation) -> Behaviour:
    """What ought to be: all ends but a thread, which nothing can stop from outside."""
    if situation in LEFT_BY_ITS_CONSUMER:
        return Behaviour(receipt=None, outcome="abandoned")
    return Behaviour(tool_goes_on=situation is Situation.SYNC_TOOL)


class Limit:
    """What a framework does otherwise in one situation, which its module in `agents/` declares.

    Args:
        reason: why it cannot be otherwise, in a sentence.
        **otherwise: the attributes of `Behaviour` that differ; the matrix asserts these, too.
    """

    def __init__(self, reason: str, **otherwise: Any) -> None:
        self.reason = reason
        self._otherwise = otherwise

    def of(self, situation: Situation) -> Behaviour:
        return replace(wanted(situation), **self._otherwise)


Limits = Mapping[Situation, Limit]


@dataclass(frozen=True)
class Report:
    """What the agent's own process has measured.

    Attributes:
        expected: what ought to be, or what the framework's limit declares.
        limit: that limit's reason.
        outcome: how the stream ended for its consumer.
        tokens_after: how many the model gave after the receipt, or after the stream was left.
        steps_after: likewise the tool.
        tasks_left: the names of tasks that were left over.
        longest_gap_sec: the longest time that the event loop did not turn in, since the agent
            was where the situation wants it.
        left_within_sec: from the order to the receipt, or from the leaving to its end.
        history: what the framework had kept then, before the next turn.
        next_turn: how that ended: "completed", or otherwise.
        next_history: what it had kept after that.
        tool_has_ended: a tool in a thread has come to its own end at last.
    """

    expected: dict[str, Any]
    limit: str | None
    outcome: str | None
    tokens_after: int
    steps_after: int
    tasks_left: list[str]
    longest_gap_sec: float
    left_within_sec: float
    history: list[str]
    next_turn: str
    next_history: list[str]
    tool_has_ended: bool

    def behaviour(self, receipt: str | None) -> dict[str, Any]:
        return asdict(
            Behaviour(
                receipt=receipt,
                outcome=str(self.outcome),
                model_goes_on=self.tokens_after > MOST_TOKENS,
                tool_goes_on=self.steps_after > 0,
                tasks_are_left=bool(self.tasks_left),
                blocks_the_loop=self.longest_gap_sec > LONGEST_TOOL_SEC / 2,
                next_turn_completes=self.next_turn == "completed",
            )
        )


def expected(limits: Limits, situation: Situation) -> tuple[dict[str, Any], str | None]:
    """What the matrix is to see, and why that is not what ought to be."""
    limit = limits.get(situation)
    if limit is None:
        return asdict(wanted(situation)), None
    return asdict(limit.of(situation)), limit.reason
