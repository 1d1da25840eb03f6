"""The supervisor: the one place that repeats jobs, and restarts those that fail."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from session_router import logs

_FIRST_RETRY_SEC: Final = 0.5
_LONGEST_RETRY_SEC: Final = 30.0


@dataclass(frozen=True)
class Job:
    """A background job.

    Attributes:
        name: what the logs call it.
        run_once: one pass.
        pause_sec: how long to wait after a pass that went well.
        wake: when set, ends the pause early.
        longest_retry_sec: the bound on the pause after passes that failed.
    """

    name: str
    run_once: Callable[[], Awaitable[Any]]
    pause_sec: Callable[[], float]
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    longest_retry_sec: float = _LONGEST_RETRY_SEC


class Supervisor:
    """Owns one task a job; none waits for another, and none dies silently."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, job: Job) -> None:
        """Begin to repeat a job; one of that name that runs already goes on instead."""
        if job.name not in self._tasks:
            self._tasks[job.name] = asyncio.create_task(_repeat(job), name=job.name)

    async def stop(self) -> None:
        """End all jobs; a pass that is under way is cancelled."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _repeat(job: Job) -> None:
    failures = 0
    while True:
        job.wake.clear()
        try:
            await job.run_once()
        except Exception as error:  # whatever a pass meets, the job must go on
            failures += 1
            pause = retry_pause(failures, job.longest_retry_sec)
            logs.job_failed(job.name, error, pause)
        else:
            if failures:
                logs.job_recovered(job.name)
            failures, pause = 0, job.pause_sec()
        await _pause(job.wake, pause)


async def _pause(wake: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        pass


def retry_pause(failures: int, longest_sec: float = _LONGEST_RETRY_SEC) -> float:
    """How long to wait after so many failures in a row: 0.5 s, then doubled, less jitter."""
    longest = min(_FIRST_RETRY_SEC * 2.0 ** min(failures - 1, 10), longest_sec)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards no secret
