"""RemoteManager: the use cases over HTTP, and `connect`, which makes one."""

from collections.abc import Callable

from session_router.client.repository import HttpRepository
from session_router.manager import SessionManager
from session_router.repository.changes import BulkStop, Stop, StopStream
from session_router.repository.results import BulkInterrupt, StopRequest, StreamInterrupt
from session_router.runtime import AgentRuntime
from session_router.settings import DEFAULT_DEADLINE_SEC, Tuning


def connect(
    url: str,
    key: str | None = None,
    *,
    agent_runtime: AgentRuntime | None = None,
    session_timeout_minutes: float = 30,
    deadline_sec: float = DEFAULT_DEADLINE_SEC,
    tuning: Tuning | None = None,
) -> "RemoteManager":
    """A manager over a service, for programs that have no way to the database.

    Nothing is sent yet: that begins with `async with`, or with the first operation.

    Args:
        url: of the service, such as `https://router.example.com`.
        key: what `session-router keys create` printed, with the scopes of what is to be done:
            `agent` for `stream()` and `register_agent`, `operate` for starting, ending and
            interrupting, `read` for reads. None where the service asks for none.
        agent_runtime: what hosts this program's agents; a `LocalAgentRuntime` when left out.
        session_timeout_minutes: what the service has; streams touch their session four times in it.
        deadline_sec: how long an operation may take, retries included, in seconds above zero.
        tuning: the further limits. Of its intervals the service's lease, heartbeats and sweep
            are the service's.

    Raises:
        InvalidValueError: the URL or the key is none.
        InvalidSettingError: a number is out of its range.
    """
    return RemoteManager(
        HttpRepository(url, key, deadline_sec),
        agent_runtime,
        session_timeout_minutes,
        tuning=tuning,
    )


class RemoteManager(SessionManager):
    """A `SessionManager` by way of the service: what it promises holds here, too.

    It neither sweeps nor reaps, and reads no database's clock. `wait` is the service's to do, for
    up to 300 seconds. Its repository is its own: it is closed with it, and reads only.
    """

    repository: HttpRepository

    async def shutdown(self) -> None:
        """Do what `SessionManager.shutdown` does, and close the connections."""
        await super().shutdown()
        await self.repository.close()

    async def _stop_streams(self, asked: Stop, wait: float | None) -> StopRequest | None:
        if wait is None:
            return await super()._stop_streams(asked, wait)
        return await self.repository.interrupt_streams(
            asked.session_id,
            asked.agents,
            asked.requester,
            owner=asked.owner,
            request_id=asked.request_id if asked.once else None,
            wait=wait,
        )

    async def _stop_stream(self, asked: StopStream, wait: float | None) -> StreamInterrupt:
        if wait is None:
            return await super()._stop_stream(asked, wait)
        return await self.repository.interrupt_stream(asked, wait=wait)

    async def _stop_matching(
        self, asked: BulkStop, progress: Callable[[BulkInterrupt], None]
    ) -> BulkInterrupt:
        """The service goes through the sessions; its progress is not told, but for the end."""
        done = await self.repository.interrupt_all(asked)
        if not asked.dry_run:
            progress(done)
        return done
