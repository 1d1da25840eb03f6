"""What a client reads."""

from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from session_router.client.answers import read
from session_router.client.owners import OwnersOnly, check_unsaid
from session_router.client.service import Service, path_of
from session_router.errors import UnsupportedError
from session_router.events import SessionEvent
from session_router.repository.changes import EVERY_SESSION, SessionFilter
from session_router.repository.records import StreamRow
from session_router.repository.results import Receipts
from session_router.session import Session, check_session_id

SESSION: Final = TypeAdapter(Session)
STREAMS: Final = TypeAdapter(list[StreamRow])
_SESSIONS: Final = TypeAdapter(list[Session])
_EVENTS: Final = TypeAdapter(list[SessionEvent])
_RECEIPTS: Final = TypeAdapter(Receipts)
_PAGE: Final = 1_000


class Reads(OwnersOnly):
    """The reads of the contract; all need a key with the scope `read`."""

    _service: Service

    async def get_session(self, session_id: str) -> Session | None:
        return await self.find_session(check_session_id(session_id))

    async def find_session(self, session_id: str) -> Session | None:
        answer = await self._service.ask(
            "GET", path_of("sessions", session_id), missing="session-not-found", repeatable=True
        )
        return None if answer is None else read(SESSION, answer)

    async def list_sessions(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        matching: SessionFilter = EVERY_SESSION,
    ) -> list[Session]:
        query = _filters(matching)
        found: list[Session] = []
        while len(found) < limit:
            page = {**query, "limit": min(limit - len(found), _PAGE)}
            if after is not None:
                page["after"] = after
            answer = await self._read("/sessions", page)
            items: list[Session] = read(_SESSIONS, answer, "items")
            found += items
            after = answer.json()["next"]
            if after is None:
                break
        return found

    async def list_streams(self, session_id: str, owner: str | None = None) -> list[StreamRow]:
        check_unsaid(owner)
        answer = await self._read(path_of("sessions", session_id, "streams"))
        return read(STREAMS, answer, "items")

    async def list_events(
        self,
        session_id: str | None = None,
        *,
        after: int = 0,
        limit: int = 100,
        tailing: bool = True,
        owner: str | None = None,
    ) -> list[SessionEvent]:
        """Read the trail of one session id; always as who tails it, whatever `tailing` says."""
        check_unsaid(owner)
        if session_id is None:
            raise UnsupportedError(
                "the whole trail is not told over HTTP; give a session_id, or use "
                "'session-router audit export' where the database is."
            )
        found: list[SessionEvent] = []
        while len(found) < limit:
            page = {"after": after, "limit": min(limit - len(found), _PAGE)}
            answer = await self._read(path_of("sessions", session_id, "events"), page)
            items: list[SessionEvent] = read(_EVENTS, answer, "items")
            found += items
            if answer.json()["next"] is None:
                break
            after = answer.json()["next"]
        return found

    async def receipts(self, request_id: UUID, *, owner: str | None = None) -> Receipts | None:
        check_unsaid(owner)
        answer = await self._service.ask(
            "GET", path_of("interrupts", request_id), missing="request-not-found", repeatable=True
        )
        return None if answer is None else read(_RECEIPTS, answer)

    async def ping(self) -> None:
        """Ask the service whether requests are welcome."""
        await self._read("/readyz")

    async def _read(self, path: str, query: dict[str, Any] | None = None) -> Any:
        return await self._service.ask("GET", path, query=query, repeatable=True)


def _filters(matching: SessionFilter) -> dict[str, Any]:
    given = {
        "prefix": matching.prefix,
        "owner": matching.owner,
        "agent_type": matching.agent_type,
        "worker": matching.worker_id,
        "streaming": matching.streaming,
        "idle_for": matching.idle_for and matching.idle_for.total_seconds(),
    }
    return {name: _as_text(value) for name, value in given.items() if value is not None}


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
