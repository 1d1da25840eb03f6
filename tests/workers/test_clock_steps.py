"""A step forward of the database's clock expires nothing early."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from session_router import InMemorySessionRepository, SessionManager
from session_router.worker.clock_steps import ClockSteps
from session_router.worker.heartbeat import Heartbeat
from session_router.worker.sweeper import SweepCounts
from tests.support.waiting import eventually

HOUR = timedelta(hours=1)
WINDOW_SEC = 1_800.0
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that can be set."""

    def __init__(self) -> None:
        self.set_forward_by = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.set_forward_by


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def test_a_step_counts_for_the_length_of_the_window() -> None:
    steps = ClockSteps(WINDOW_SEC)
    for second in range(0, 600, 5):
        steps.read(second, at(second), second)
    assert steps.forward == timedelta()
    for second in range(600, 600 + int(WINDOW_SEC), 5):
        steps.read(second, at(second) + HOUR, second)
        assert steps.forward == HOUR
    for second in range(600 + int(WINDOW_SEC) + 60, 5_000, 5):
        steps.read(second, at(second) + HOUR, second)
        assert steps.forward == timedelta()


def test_slow_answers_and_small_differences_are_no_step() -> None:
    steps = ClockSteps(WINDOW_SEC)
    for second in range(0, 3_000, 5):
        # The answer takes up to 4 s, and the database tells its time anywhere between.
        steps.read(second, at(second + second % 4), second + 4)
        assert steps.forward == timedelta()


def test_a_step_is_known_also_after_a_long_silence_and_one_back_is_none() -> None:
    steps = ClockSteps(WINDOW_SEC)
    steps.read(0, at(0), 0)
    steps.read(9_000, at(9_000) + HOUR, 9_000)
    assert steps.forward == HOUR
    back = ClockSteps(WINDOW_SEC)
    back.read(0, at(0), 0)
    back.read(5, at(5) - HOUR, 5)
    assert back.forward == timedelta()
    back.read(10, at(10), 10)
    assert back.forward == HOUR  # for those that were touched between the two


async def test_heartbeats_learn_of_it() -> None:
    clock = Clock()
    repository, worker_id = InMemorySessionRepository(clock), uuid4()
    await repository.add_worker(worker_id, "host", 1)
    heartbeat = Heartbeat(repository, 30, WINDOW_SEC)
    await heartbeat.beat(worker_id)
    clock.set_forward_by = HOUR
    await heartbeat.beat(worker_id)
    assert timedelta(minutes=59) < heartbeat.clock_step() <= HOUR


async def test_a_sweep_after_a_step_leaves_what_was_touched_before_it() -> None:
    clock = Clock()
    repository = InMemorySessionRepository(clock)
    async with SessionManager(repository, session_timeout_minutes=30) as manager:
        await manager.start_session("chat")

        async def has_beaten() -> bool:
            [worker] = await repository.list_workers()
            return worker.heartbeat_at > worker.started_at

        await eventually(has_beaten)
        clock.set_forward_by = HOUR
        assert await manager.expire_old_sessions() == SweepCounts(0, 0)
        assert await manager.get_session("chat") is not None
        # One who comes later knows only the clock as it is now.
        clock.set_forward_by = 2 * HOUR
        late = SessionManager(repository, session_timeout_minutes=30)
        assert await late.expire_old_sessions() == SweepCounts(1, 0)
