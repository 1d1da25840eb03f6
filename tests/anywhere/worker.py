"""A worker in a process of its own: `python -m tests.anywhere.worker URL OPTIONS`.

OPTIONS is JSON: `tuning`, `listen_url`, and `streams`, a list of [session_id, agent key]. It
streams in each without end, through `manager.stream()`, and tells of itself in JSON lines. Lines
on its standard input are orders: `stream SESSION KEY` begins one more. SIGTERM shuts it down.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.settings import Tuning


def say(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)  # noqa: T201


async def endless() -> AsyncIterator[int]:
    number = 0
    while True:
        yield number
        number += 1
        await asyncio.sleep(0.02)


async def consume(manager: SessionManager, session_id: str, key: str) -> None:
    stream = manager.stream(session_id, AgentId("writer", key), endless())
    try:
        async for number in stream:
            if number == 0:
                worker_id = str(manager.worker_id)
                say("streaming", key=key, stream_id=str(stream.stream_id), worker_id=worker_id)
    except Exception as error:
        say("refused", key=key, error=type(error).__name__)
    else:
        say("ended", key=key, stream_id=str(stream.stream_id), outcome=stream.outcome)


async def main(url: str, options: dict[str, Any]) -> None:
    repository = SQLAlchemySessionRepository.from_url(
        url, listen_url=options.get("listen_url"), deadline_sec=options.get("deadline_sec", 10)
    )
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    tasks = set()
    async with SessionManager(repository, tuning=Tuning(**options.get("tuning", {}))) as manager:

        def begin(session_id: str, key: str) -> None:
            task = asyncio.create_task(consume(manager, session_id, key))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        def obey() -> None:
            for line in os.read(sys.stdin.fileno(), 65_536).decode().splitlines():
                order, *words = line.split()
                if order == "stream":
                    begin(*words)
                elif order == "wake_ups":
                    say("wake_ups", mode=manager.wake_ups.mode, reason=manager.wake_ups.reason)

        loop.add_reader(sys.stdin, obey)
        say("ready", worker_id=str(manager.worker_id))
        for session_id, key in options.get("streams", []):
            begin(session_id, key)
        await over.wait()
        loop.remove_reader(sys.stdin)
    await asyncio.gather(*tasks)
    await repository.close()
    say("stopped")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
