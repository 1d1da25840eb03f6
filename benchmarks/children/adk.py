"""google-adk's DatabaseSessionService: `python -m benchmarks.children.adk URL SESSIONS`.

It runs in an environment of its own, so it imports nothing of ours but the load. An order is
`get_session CALLERS WARM_UP SECONDS`, or the same with `create_session`; it answers with the
window's rate, median and 99th percentile. It stops at the end of standard input.
"""

import random
import sys
from typing import Final
from uuid import uuid4

import uvloop
from google.adk import sessions  # type: ignore[import-untyped]  # not in our environment
from sqlalchemy import text

from benchmarks.children.orders import orders, say
from benchmarks.load import Length, closed_loop

_APP: Final = "benchmark"


class Service:
    """The service with a database of sessions, each with a user of its own."""

    def __init__(self, url: str, number: int) -> None:
        self._service = sessions.DatabaseSessionService(url)
        self._number = number

    async def fill(self) -> None:
        await self._service.prepare_tables()
        async with self._service.db_engine.begin() as conn:
            await conn.execute(
                text(
                    "INSERT INTO sessions (app_name, user_id, id, state, create_time, update_time) "
                    "SELECT :app, 'user-' || n, 'session-' || n, '{}', now(), now() "
                    "FROM generate_series(0, :last) n"
                ),
                {"app": _APP, "last": self._number - 1},
            )

    async def get_session(self, _: int) -> None:
        number = random.randrange(self._number)  # noqa: S311 - spreads load only
        session = await self._service.get_session(
            app_name=_APP, user_id=f"user-{number}", session_id=f"session-{number}"
        )
        assert session is not None

    async def create_session(self, caller: int) -> None:
        await self._service.create_session(
            app_name=_APP, user_id=f"user-{caller}", session_id=uuid4().hex
        )


async def main(url: str, number: int) -> None:
    service = Service(url, number)
    await service.fill()
    say("ready")
    async for [work, callers, warm_up, seconds] in orders():
        length = Length(float(warm_up), float(seconds))
        window = await closed_loop(getattr(service, work), int(callers), length)
        say(f"{window.rate!r} {window.median!r} {window.p99!r}")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
