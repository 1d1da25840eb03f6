"""Load, as the benchmarks make and see it."""

import asyncio

import pytest

from benchmarks.load import Length, OpenLoop, Window, closed_loop


def test_a_window_counts_its_answers_and_takes_the_latencies_of_what_was_under_way() -> None:
    answered_before, from_before, within, to_after = (0.0, 0.5), (0.9, 1.1), (1.2, 1.5), (1.9, 3.9)
    window = Window.of([answered_before, from_before, within, to_after], begin=1.0, end=2.0)
    assert window.rate == 2  # from_before and within
    assert window.median == pytest.approx(0.3)  # within
    assert window.p99 == pytest.approx(2.0)  # to_after


async def test_a_closed_loop_has_as_many_calls_under_way_as_callers() -> None:
    under_way: set[int] = set()
    most = 0

    async def call(caller: int) -> None:
        nonlocal most
        assert caller not in under_way
        under_way.add(caller)
        most = max(most, len(under_way))
        await asyncio.sleep(0)
        under_way.remove(caller)

    window = await closed_loop(call, 3, Length(0.0, 0.05))
    assert most == 3
    assert window.rate > 0


async def test_an_open_loop_goes_on_calling_while_nothing_is_answered() -> None:
    is_over, may_answer, calls = asyncio.Event(), asyncio.Event(), 0

    async def call(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            is_over.set()
        await may_answer.wait()

    load = OpenLoop(call, 1_000, LookupError)
    running = asyncio.create_task(load.run(is_over))
    await is_over.wait()
    assert not load.latencies
    may_answer.set()
    await running
    assert len(load.latencies) == calls >= 10


async def test_a_call_of_an_open_loop_that_fails_is_no_answer() -> None:
    is_over = asyncio.Event()

    async def call(_: int) -> None:
        is_over.set()
        raise LookupError

    load = OpenLoop(call, 1_000, LookupError)
    await load.run(is_over)
    assert load.latencies
    assert load.answered_rate == 0
