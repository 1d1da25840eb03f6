"""Group commit: whose item is in which batch, and what each caller is told."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_router import (
    DatabaseError,
    DatabaseUnavailableError,
    DeadlineExceededError,
    OverloadedError,
    RefusedError,
    SessionRouterError,
    WorkerGoneError,
)
from session_router.repository.sql.batches.group_commit import GroupCommit, Retry


class Database:
    """Stands for a database whose commits return when a test lets them."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.alone: list[int] = []
        self.answers: Callable[[int], int | Retry] = lambda item: item * 10
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.has_begun = asyncio.Event()
        self.under_way: list[int] = []

    async def commit(self, items: Sequence[int]) -> list[int | Retry]:
        assert not set(items) & set(self.under_way), "one key, two batches"
        self.batches.append(list(items))
        self.under_way += items
        self.has_begun.set()
        try:
            await self.may_commit.wait()
            return [self.answers(item) for item in items]
        finally:
            self.under_way = [item for item in self.under_way if item not in items]

    async def carry_out_alone(self, item: int, deadline: float) -> int:
        self.alone.append(item)
        return item * 100


def group(database: Database, **options: float) -> GroupCommit[int, int]:
    limits = {"lanes": 1, "deadline_sec": 5.0} | options
    return GroupCommit(database.commit, database.carry_out_alone, lambda item: item, **limits)  # type: ignore[arg-type]


async def begun(commits: GroupCommit[int, int], database: Database, item: int) -> asyncio.Task[int]:
    """Submit an item whose batch stays under way."""
    database.may_commit.clear()
    database.has_begun.clear()
    task = asyncio.create_task(commits.submit(item))
    await database.has_begun.wait()
    return task


async def waiting(commits: GroupCommit[int, int], *items: int) -> list[asyncio.Task[int]]:
    """Submit items that wait in the queue, in this order."""
    tasks = [asyncio.create_task(commits.submit(item)) for item in items]
    await asyncio.sleep(0)  # each takes its first step, which is to queue
    return tasks


async def turns() -> None:
    """Let the event loop carry out what it has to do, and what follows from that."""
    for _ in range(10):
        await asyncio.sleep(0)


async def told(task: Awaitable[int]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the caller looks at it
        await task
    return caught.value


async def test_who_comes_alone_is_a_batch_of_one_at_once() -> None:
    database = Database()
    assert await group(database).submit(7) == 70
    assert database.batches == [[7]]


async def test_who_comes_while_a_batch_is_under_way_shares_the_next_one_in_order() -> None:
    database = Database()
    commits = group(database)
    first = await begun(commits, database, 1)
    others = await waiting(commits, 5, 3, 4)
    database.may_commit.set()
    assert await asyncio.gather(first, *others) == [10, 50, 30, 40]
    assert database.batches == [[1], [5, 3, 4]]


async def test_a_batch_takes_no_more_than_its_limit() -> None:
    database = Database()
    commits = group(database, batch_limit=2)
    first = await begun(commits, database, 0)
    others = await waiting(commits, 1, 2, 3)
    database.may_commit.set()
    await asyncio.gather(first, *others)
    assert database.batches == [[0], [1, 2], [3]]


async def test_what_a_batch_leaves_out_goes_alone_and_delays_nobody() -> None:
    database = Database()
    database.answers = lambda item: Retry.IN_OWN_TRANSACTION if item == 2 else item * 10
    commits = group(database)
    assert await asyncio.gather(*map(commits.submit, (1, 2, 3))) == [10, 200, 30]
    assert database.alone == [2]


async def test_one_who_waits_alone_holds_up_no_later_batch() -> None:
    database, may_go_on = Database(), asyncio.Event()
    database.answers = lambda item: Retry.IN_OWN_TRANSACTION if item == 2 else item * 10

    async def alone(item: int, deadline: float) -> int:
        await may_go_on.wait()
        return item

    commits = GroupCommit(database.commit, alone, lambda item: item, 5.0, lanes=1)
    held = asyncio.create_task(commits.submit(2))
    assert await commits.submit(1) == 10
    assert await commits.submit(3) == 30
    assert not held.done()
    may_go_on.set()
    assert await held == 2


@pytest.mark.parametrize("refusal", [RefusedError("no such value"), WorkerGoneError("reaped")])
async def test_an_item_that_is_refused_fails_alone(refusal: SessionRouterError) -> None:
    async def commit(items: Sequence[int]) -> list[int | Retry]:
        if 2 in items:
            raise refusal
        return list(items)

    async def alone(item: int, deadline: float) -> int:
        return (await commit([item]))[0]  # type: ignore[return-value]

    commits = GroupCommit(commit, alone, lambda item: item, 5.0, lanes=1)
    found = await asyncio.gather(*map(commits.submit, (1, 2, 3)), return_exceptions=True)
    assert found == [1, refusal, 3]


async def test_a_batch_of_one_that_was_refused_is_tried_alone() -> None:
    """A batch gives up where an item alone waits."""
    database = Database()

    async def commit(_: Sequence[int]) -> list[int | Retry]:
        raise RefusedError("somebody holds it")

    commits = GroupCommit(commit, database.carry_out_alone, lambda item: item, 5.0)
    assert await commits.submit(1) == 100
    assert database.alone == [1]


@pytest.mark.parametrize(
    "error",
    [
        DatabaseUnavailableError("the connection was lost"),  # it may have happened
        DatabaseError("this server only reads"),  # each alone would be told the same
    ],
)
async def test_what_is_no_fault_of_one_item_is_told_to_all_and_not_repeated(
    error: DatabaseError,
) -> None:
    database = Database()

    async def commit(_: Sequence[int]) -> list[int | Retry]:
        raise error

    commits = GroupCommit(commit, database.carry_out_alone, lambda item: item, 5.0, lanes=1)
    first, second = await asyncio.gather(*map(commits.submit, (1, 2)), return_exceptions=True)
    assert type(first) is type(second) is type(error)
    assert str(first) == str(second) == str(error)
    assert first is not second  # what one caller adds to its error is not the other's
    assert database.alone == []


async def test_a_bug_in_a_batch_reaches_its_callers_and_the_next_batch_runs() -> None:
    database = Database()
    commits = group(database)
    database.answers = lambda item: 1 // 0
    assert isinstance(await told(commits.submit(1)), ZeroDivisionError)
    database.answers = lambda item: item
    assert await commits.submit(2) == 2


async def test_a_cancelled_caller_goes_at_once_and_its_batch_goes_on() -> None:
    database = Database()
    commits = group(database)
    await begun(commits, database, 0)
    [leaver, stayer] = await waiting(commits, 1, 2)
    database.has_begun.clear()
    database.may_commit.set()
    await database.has_begun.wait()  # the batch of both
    leaver.cancel()
    assert isinstance(await told(leaver), asyncio.CancelledError)
    assert await stayer == 20
    assert database.batches == [[0], [1, 2]]
    assert await commits.submit(3) == 30


async def test_who_goes_while_still_queueing_is_left_out() -> None:
    database = Database()
    commits = group(database)
    first = await begun(commits, database, 0)
    [leaver, stayer] = await waiting(commits, 1, 2)
    leaver.cancel()
    await asyncio.wait([leaver])
    database.may_commit.set()
    assert [await first, await stayer] == [0, 20]
    assert database.batches == [[0], [2]]


async def test_who_comes_when_too_many_wait_is_turned_away_before_anything_is_done() -> None:
    database = Database()
    commits = group(database, queue_limit=2)
    first = await begun(commits, database, 0)
    others = await waiting(commits, 1, 2)
    refusal = await told(commits.submit(3))
    assert isinstance(refusal, OverloadedError)
    assert "nothing was written" in str(refusal)
    database.may_commit.set()
    await asyncio.gather(first, *others)
    assert database.batches == [[0], [1, 2]]
    assert await commits.submit(4) == 40


async def test_a_caller_waits_no_longer_than_its_deadline() -> None:
    database = Database()
    commits = group(database, deadline_sec=0.01)
    task = await begun(commits, database, 1)
    late = await told(task)
    assert isinstance(late, DeadlineExceededError)
    assert "unknown" in str(late)
    database.may_commit.set()
    await commits.close()


async def test_a_caller_whose_turn_did_not_come_is_told_that_nothing_was_written() -> None:
    database = Database()
    commits = group(database, deadline_sec=0.01)
    first = await begun(commits, database, 1)
    others = await waiting(commits, 2, 3)
    for waited in [await told(task) for task in others]:
        assert isinstance(waited, DeadlineExceededError)
        assert waited.nothing_written
        assert "nothing was written" in str(waited)
    assert not getattr(await told(first), "nothing_written", True)
    database.may_commit.set()
    await commits.close()
    assert database.batches == [[1]]


async def test_closing_waits_for_all_that_was_submitted() -> None:
    database = Database()
    database.answers = lambda item: Retry.IN_OWN_TRANSACTION if item == 2 else item
    commits = group(database)
    tasks = [await begun(commits, database, 1), *await waiting(commits, 2, 3)]
    closing = asyncio.create_task(commits.close())
    database.may_commit.set()
    await closing
    assert all(task.done() for task in tasks)
    assert database.alone == [2]


async def test_a_batch_that_was_cancelled_before_its_first_step_leaves_nobody_waiting() -> None:
    database = Database()
    commits = group(database)
    before = asyncio.all_tasks()
    [task] = await waiting(commits, 1)
    await asyncio.sleep(0)
    [batch] = asyncio.all_tasks() - before - {task}
    batch.cancel()
    assert isinstance(await told(task), asyncio.CancelledError)
    assert database.batches == []
    assert await commits.submit(2) == 20


async def test_few_share_one_batch_whatever_their_lanes() -> None:
    database = Database()
    commits = group(database, lanes=2)
    await asyncio.gather(*map(commits.submit, range(10)))
    [batch] = database.batches
    assert sorted(batch) == [*range(10)]


async def test_few_wait_for_the_batch_that_is_under_way_in_another_lane() -> None:
    database = Database()
    commits = group(database, lanes=2)
    tasks = [await begun(commits, database, 0), *await waiting(commits, 1, 2, 3)]
    await turns()
    assert database.batches == [[0]]
    database.may_commit.set()
    await asyncio.gather(*tasks)
    assert [sorted(batch) for batch in database.batches] == [[0], [1, 2, 3]]


async def test_where_many_wait_each_lane_has_a_batch_of_its_own_under_way() -> None:
    database = Database()
    commits = group(database, lanes=2)
    database.may_commit.clear()
    tasks = await waiting(commits, *range(100))
    await turns()
    assert sorted(map(len, database.batches)) == [50, 50]
    database.may_commit.set()
    await asyncio.gather(*tasks)


async def test_many_do_not_wait_for_a_batch_that_is_under_way_in_another_lane() -> None:
    database = Database()
    commits = group(database, lanes=2)
    tasks = [await begun(commits, database, 0), *await waiting(commits, *range(1, 100))]
    await turns()
    assert [sorted(batch) for batch in database.batches] == [[0], [*range(1, 100, 2)]]
    database.may_commit.set()
    await asyncio.gather(*tasks)


async def test_few_in_one_lane_are_not_passed_over_while_the_other_has_always_more() -> None:
    database = Database()
    commits = group(database, lanes=2)
    first = await begun(commits, database, 1)
    tasks = [first, *await waiting(commits, *range(0, 200, 2), 3)]
    database.may_commit.set()
    await asyncio.gather(*tasks)
    assert [3] in database.batches[1:3]


async def test_a_result_of_the_last_moment_is_not_lost() -> None:
    database = Database()
    commits = group(database, deadline_sec=0.05)
    task = await begun(commits, database, 1)

    def commit_late() -> None:
        """The commit is to return in the turn of the loop in which the deadline is over."""
        database.may_commit.set()
        time.sleep(0.05)

    asyncio.get_running_loop().call_later(0.03, commit_late)
    assert await task == 10


async def test_callers_are_not_left_hanging_when_the_loop_cancels_everything() -> None:
    database = Database()
    commits = group(database)
    task = await begun(commits, database, 1)
    for other in asyncio.all_tasks() - {asyncio.current_task(), task}:
        other.cancel()  # as asyncio.run does at its end
    assert isinstance(await told(task), asyncio.CancelledError)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=60), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_every_caller_gets_its_own_result_whenever_it_comes(
    arrivals: list[tuple[int, int]], lanes: int
) -> None:
    async def run() -> None:
        async def commit(items: Sequence[int]) -> list[int | Retry]:
            assert not under_way.intersection(items)
            under_way.update(items)
            await asyncio.sleep(0)
            under_way.difference_update(items)
            return [Retry.IN_OWN_TRANSACTION if item % 5 == 4 else item * 10 for item in items]

        async def alone(item: int, deadline: float) -> int:
            await asyncio.sleep(0)
            return item * 10

        async def caller(item: int, steps_later: int) -> int:
            for _ in range(steps_later):
                await asyncio.sleep(0)
            return await commits.submit(item)

        under_way: set[int] = set()
        commits = GroupCommit(commit, alone, lambda item: item, 5.0, lanes=lanes)
        found = await asyncio.gather(*(caller(*arrival) for arrival in arrivals))
        assert found == [item * 10 for item, _ in arrivals]

    asyncio.run(run())
