"""A remote worker, as a test plays it: requests, and the events of its signals."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import httpx
from fastapi import FastAPI

from session_router.http.serving import serving
from session_router.http.sockets import listening_sockets, url_of

NOT_FOR_EVER = httpx.Timeout(30)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The app on a socket, since an answer without an end cannot be asked for in-process."""
    with listening_sockets("127.0.0.1", 0) as sockets:
        async with serving(app, sockets, end_within_sec=5):
            yield url_of(sockets[0])


@dataclass
class Event:
    """One server-sent event."""

    name: str
    id: str | None
    data: dict[str, Any]


class Events:
    """The events of one connection."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    @classmethod
    @asynccontextmanager
    async def of(cls, client: httpx.AsyncClient, worker_id: str) -> AsyncIterator[Self]:
        async with client.stream("GET", f"/workers/{worker_id}/signals") as response:
            yield cls(response)

    async def next(self) -> Event | None:
        """The next event; None at the plain end."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if line and not line.startswith(":"):
                fields[name] = value
            elif fields:
                return Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
        return None

    async def ids(self, count: int) -> list[str]:
        """The signals of the next events."""
        found = [await self.next() for _ in range(count)]
        return [event.data["signal_id"] for event in found if event is not None]


async def enter(client: httpx.AsyncClient) -> str:
    """Enter a worker; returns its id."""
    answer = await client.post("/workers", json={"host": "box-1", "pid": 4711})
    assert answer.status_code == 201, answer.text
    worker_id: str = answer.json()["worker_id"]
    return worker_id


async def register(
    client: httpx.AsyncClient, worker_id: str, agent: str = "writer/a", **how: object
) -> str:
    """Register a stream in the session `chat`; returns its id."""
    body = {"worker_id": worker_id, **how}
    answer = await client.put(f"/sessions/chat/agents/{agent}", json=body)
    assert answer.status_code == 200, answer.text
    stream_id: str = answer.json()["stream_id"]
    return stream_id
