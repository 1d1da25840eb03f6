"""The supervisor: the one place that repeats jobs, and restarts those that fail."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from session_router import logs
from session_router.errors import is_outage
from session_router.outages import Outage

LONGEST_BLIND_SEC: Final = 1.5
"""After an outage, those by whom streams are stopped must not be the last to notice its end."""

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
        outage: of what it needs, where that is not what the others need.
    """

    name: str
    run_once: Callable[[], Awaitable[Any]]
    pause_sec: Callable[[], float]
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    longest_retry_sec: float = _LONGEST_RETRY_SEC
    outage: Outage | None = None


class Supervisor:
    """Owns one task a job; none waits for another, and none dies silently.

    Args:
        outage: of the database, or service, that the jobs need; it tells of those that they meet.
    """

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, job: Job) -> None:
        """Begin to repeat a job; one of that name that runs already goes on instead."""
        if job.name not in self._tasks:
            self._tasks[job.name] = asyncio.create_task(self._repeat(job), name=job.name)

    async def stop(self) -> None:
        """End all jobs; a pass that is under way is cancelled."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _repeat(self, job: Job) -> None:
        failures, was_told, outage = 0, False, job.outage or self._outage
        try:
            while True:
                job.wake.clear()
                try:
                    await job.run_once()
                except Exception as error:  # whatever a pass meets, the job must go on
                    failures += 1
                    pause = retry_pause(failures, job.longest_retry_sec)
                    was_told |= _note(job, outage, error, pause)
                else:
                    outage.passed()
                    if was_told:
                        logs.job_recovered(job.name)
                    failures, was_told, pause = 0, False, job.pause_sec()
                await _pause(job.wake, pause)
        finally:
            outage.left()


def _note(job: Job, outage: Outage, error: Exception, pause: float) -> bool:
    """Tell of a pass that failed; returns whether that is news of this job."""
    logs.job_failed(job.name, error, pause)
    if is_outage(error):
        outage.met(error, job.wake)
        return False
    outage.passed()  # the database has answered, or was not needed
    return True


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
