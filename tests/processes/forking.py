"""A program that forks with a manager in its hands: `python -m tests.processes.forking URL HOW`.

HOW is `before`: a manager that was made and not yet used, as a server does that preloads its
application; or `amid`: a manager whose connections are open. Prints what each process saw, a JSON
document a line.
"""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.settings import Tuning
from tests.support.sql import is_sqlite

Work = Callable[[], Awaitable[dict[str, object]]]


async def use(manager: SessionManager, name: str, calls: int = 20) -> dict[str, object]:
    """Use all ways to the database at once, and tell as which worker."""
    for number in range(calls):
        await asyncio.gather(
            manager.start_session(f"{name}-{number}"),
            manager.register_agent("shared", AgentId("writer", f"{name}-{number}")),
            manager.repository.find_session("shared"),
        )
    return {"name": name, "worker": str(manager.worker_id)}


def forked(work: Work) -> int:
    """Run `work` in a child; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        tell(asyncio.run(as_coroutine(work)))
        code = 0
    except BaseException:  # nobody above it in a child
        traceback.print_exc()
    finally:
        os._exit(code)


async def as_coroutine(work: Work) -> dict[str, object]:
    return await work()


def tell(seen: dict[str, object]) -> None:
    os.write(1, f"{json.dumps(seen)}\n".encode())


def wait_for(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with {status}"


async def lived(manager: SessionManager, name: str) -> dict[str, object]:
    async with manager:
        return await use(manager, name)


def before(manager: SessionManager) -> None:
    children = [forked(lambda name=name: lived(manager, name)) for name in "ab"]  # type: ignore[misc]
    for pid in children:
        wait_for(pid)
    tell(asyncio.run(lived(manager, "parent")))


async def amid(manager: SessionManager) -> None:
    async with manager:
        await use(manager, "parent")
        pid = forked(lambda: lived(manager, "child"))
        seen = await use(manager, "parent", calls=40)
        await asyncio.to_thread(wait_for, pid)
        await use(manager, "parent")
        tell(seen)


def main(url: str, how: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    # A process that is forked while it writes an SQLite file leaves its child none to write.
    heartbeat_sec = 60 if is_sqlite(url) and how == "amid" else 0.1
    tuning = Tuning(heartbeat_interval_sec=heartbeat_sec, lease_sec=200)
    manager = SessionManager(repository, tuning=tuning)
    if how == "before":
        before(manager)
    else:
        asyncio.run(amid(manager))


if __name__ == "__main__":
    main(*sys.argv[1:])
