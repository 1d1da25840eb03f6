"""Each answer names its request, and so do its problem document and the log."""

import logging

import httpx
import pytest

from session_router import InMemorySessionRepository, SessionManager
from session_router.http import create_app
from tests.http.conftest import client_of


class Broken(InMemorySessionRepository):
    async def find_session(self, session_id: str) -> None:
        raise LookupError("no reason that anybody expected")


async def test_the_callers_name_comes_back_with_every_answer(memory: httpx.AsyncClient) -> None:
    for path in ("/sessions", "/healthz", "/sessions/nobody", "/nowhere"):
        answer = await memory.get(path, headers={"X-Request-Id": "gateway/7f=1"})
        assert answer.headers.get_list("x-request-id") == ["gateway/7f=1"]
        if answer.is_error:
            assert answer.json()["request_id"] == "gateway/7f=1"


@pytest.mark.parametrize("given", ["", "a b", 'x" outcome="delivered', "x" * 129, "ü".encode()])
async def test_a_name_that_might_mislead_a_log_is_replaced(
    memory: httpx.AsyncClient, given: str | bytes
) -> None:
    headers = [(b"X-Request-Id", given if isinstance(given, bytes) else given.encode())]
    answer = await memory.get("/sessions/nobody", headers=headers)
    made = answer.headers["x-request-id"]
    assert len(made) == 32
    assert made == answer.json()["request_id"]
    assert made != (await memory.get("/sessions/nobody")).headers["x-request-id"]


async def test_the_log_names_the_request_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        SessionManager(Broken()) as manager,
        client_of(create_app(manager)) as client,
    ):
        with caplog.at_level(logging.WARNING):
            answer = await client.get("/sessions/s", headers={"X-Request-Id": "r-1"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "r-1"
    [line] = [r.getMessage() for r in caplog.records if "request_crashed" in r.getMessage()]
    assert line.endswith("request_id=r-1")
