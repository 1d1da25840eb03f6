"""Remote workers of one service: `python -m benchmarks.children.remote_workers PORT NUMBER`.

Each has a connection of its own, on which it hears of its signals, and sends its heartbeats on one
of a few others. It says `ready` when all are entered and connected, and `lost` in place of that, or
in the end, with the number of connections that have ended; they stop at a line on standard input.
"""

import asyncio
import json
import sys
from typing import Any, Final

import uvloop

from benchmarks.children.orders import orders, say
from benchmarks.visits import Visitor, request_of, visitors

_SENDERS: Final = 16


async def main(port: int, number: int) -> None:
    async with visitors(port, 1) as [sender]:
        entered = [await _enter(sender) for _ in range(number)]
    interval = entered[0]["heartbeat_interval_sec"]
    ids = [str(each["worker_id"]) for each in entered]
    listening = [await _listening(port, worker_id) for worker_id in ids]
    # What is not used for ten seconds is closed, so not before now.
    async with visitors(port, _SENDERS) as senders, asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(_beat(sender, ids[place::_SENDERS], interval))
            for place, sender in enumerate(senders)
        ]
        hearing = [tasks.create_task(_hear(reader)) for reader, _ in listening]
        say("ready")
        await anext(orders(), None)
        say(f"lost {sum(task.done() for task in hearing)}")
        for task in (*running, *hearing):
            task.cancel()
        for _, writer in listening:
            writer.close()


async def _enter(sender: Visitor) -> dict[str, Any]:
    answer = await sender.ask(request_of("POST", "/workers"))
    assert answer.startswith(b"HTTP/1.1 201"), answer
    entered: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return entered


async def _listening(
    port: int, worker_id: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_of("GET", f"/workers/{worker_id}/signals"))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return reader, writer


async def _hear(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass


async def _beat(sender: Visitor, worker_ids: list[str], interval: float) -> None:
    """Spread over the interval, so that heartbeats do not fall together."""
    while True:
        for worker_id in worker_ids:
            answer = await sender.ask(request_of("POST", f"/workers/{worker_id}/heartbeat"))
            assert answer.startswith(b"HTTP/1.1 204"), answer
            await asyncio.sleep(interval / len(worker_ids))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
