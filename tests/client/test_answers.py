"""What a client makes of answers: errors of the library, and another try where that is safe."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from session_router import (
    ContentionError,
    DatabaseError,
    DatabaseUnavailableError,
    DeadlineExceededError,
    InvalidValueError,
    OverloadedError,
    Session,
    problems,
)
from session_router.client import RemoteManager, answers, connect
from session_router.http.serving import serving
from session_router.http.sockets import listening_sockets, url_of

Given = tuple[int, str, str]

SESSION: Given = (200, "application/json", Session(session_id="s").model_dump_json())
MUTE: Given = (0, "", "")


def problem(kind: problems.ProblemKind, **more: object) -> Given:
    named = {"type": kind.type, "title": kind.title, "status": kind.status, "detail": "why"}
    document = named | more
    return kind.status, problems.MEDIA_TYPE, json.dumps(document)


class Script:
    """An app that gives these answers, one after the other, and the last one from then on.

    Args:
        retry_after: the seconds that each answer says to wait; None: it says nothing.

    Attributes:
        asked: how many requests have come.
    """

    def __init__(self, *answers: Given, retry_after: int | None = None) -> None:
        self._answers = answers
        self._retry_after = retry_after
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, media_type, body = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if not status:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        headers = [(b"content-type", media_type.encode())]
        if self._retry_after is not None:
            headers.append((b"retry-after", b"%d" % self._retry_after))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})


@asynccontextmanager
async def asking(script: Script, deadline_sec: float = 10) -> AsyncIterator[RemoteManager]:
    """A manager whose service answers as the script says."""
    with listening_sockets("127.0.0.1", 0) as sockets:
        async with serving(script, sockets, end_within_sec=1):
            manager = connect(url_of(sockets[0]), deadline_sec=deadline_sec)
            yield manager
            await manager.shutdown()


def test_each_problem_that_a_client_knows_is_one_of_the_service() -> None:
    known = {k.name for k in vars(problems).values() if isinstance(k, problems.ProblemKind)}
    assert known >= answers.KNOWN


@pytest.mark.parametrize("kind", [problems.OVERLOADED, problems.CONTENTION], ids=lambda k: k.name)
async def test_what_was_not_done_is_asked_for_again(kind: problems.ProblemKind) -> None:
    script = Script(problem(kind), SESSION)
    async with asking(script) as manager:
        assert (await manager.start_new_session("s")).session_id == "s"
    assert script.asked == 2


async def test_what_may_have_been_done_is_asked_for_again_only_where_that_is_the_same() -> None:
    script = Script(problem(problems.DATABASE_UNAVAILABLE), SESSION)
    async with asking(script) as manager:
        with pytest.raises(DatabaseUnavailableError) as away:
            await manager.start_new_session("s")
        assert (script.asked, away.value.nothing_written) == (1, False)
    script = Script(problem(problems.DATABASE_UNAVAILABLE), SESSION)
    async with asking(script) as manager:
        assert await manager.get_session("s") is not None
    assert script.asked == 2


async def test_what_the_service_is_certain_of_not_having_done_is_asked_for_again() -> None:
    script = Script(problem(problems.DATABASE_UNAVAILABLE, nothing_written=True), SESSION)
    async with asking(script) as manager:
        assert (await manager.start_new_session("s")).session_id == "s"
    assert script.asked == 2


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (problems.OVERLOADED, OverloadedError),
        (problems.CONTENTION, ContentionError),
        (problems.SHUTTING_DOWN, DatabaseUnavailableError),
        (problems.DEADLINE_EXCEEDED, DeadlineExceededError),
        (problems.INVALID_REQUEST, InvalidValueError),
        (problems.INTERNAL_ERROR, DatabaseError),
    ],
    ids=lambda given: getattr(given, "name", ""),
)
async def test_a_problem_that_stays_is_raised_with_what_the_service_said(
    kind: problems.ProblemKind, error: type[Exception]
) -> None:
    # Longer than there is time: so no try is under way when that is over.
    async with asking(Script(problem(kind), retry_after=60)) as manager:
        with pytest.raises(error, match=r"http://127\.0\.0\.1:\d+ says: why"):
            await manager.get_session("s")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((404, "text/html", "<h1>Welcome</h1>"), DatabaseError),
        ((302, "text/plain", ""), DatabaseError),
        ((502, "text/html", "<h1>Bad gateway</h1>"), DatabaseUnavailableError),
        ((200, "application/json", "[]"), DatabaseError),
        ((200, "text/html", "<h1>Welcome</h1>"), DatabaseError),
    ],
)
async def test_what_is_no_service_is_told(answer: Given, error: type[Exception]) -> None:
    async with asking(Script(answer, retry_after=60)) as manager:
        with pytest.raises(error):
            await manager.repository.find_session("s")


async def test_a_service_that_is_mute_is_waited_for_until_the_deadline() -> None:
    async with asyncio.timeout(30), asking(Script(MUTE), deadline_sec=0.5) as manager:
        with pytest.raises(DeadlineExceededError, match="unknown"):
            await manager.get_session("s")


@pytest.mark.parametrize(
    "url",
    ["", "router", "ftp://router", "http://", "http://ann:pw@router", "http://ann:pw@router:x", 7],
)
def test_what_is_no_url_of_a_service_is_refused(url: str) -> None:
    with pytest.raises(InvalidValueError, match="give one such as") as refused:
        connect(url)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize("key", ["", "sr_1_secret\n", "sr_1 secret", "sr_1_sécret"])
def test_what_is_no_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(InvalidValueError, match="'session-router keys create'") as refused:
        connect("http://router", key)
    assert "cret" not in str(refused.value)
