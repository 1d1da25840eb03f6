"""No web page of another site reads here, or changes anything; programs and own pages do."""

import httpx
import pytest

from session_router import InMemorySessionRepository, SessionManager
from session_router.errors import InvalidSettingError
from session_router.http import create_app
from session_router.http.origins import Hosts
from tests.http.conftest import client_of
from tests.http.service import Service
from tests.http.test_problems import assert_problem

LOOPBACK = Hosts.of(None, "127.0.0.1", ["127.0.0.1"])
EVERYWHERE = Hosts.of(None, "0.0.0.0", ["0.0.0.0", "::"])  # noqa: S104 - a value, not a socket


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8080",
        "localhost.",
        "router.localhost:1",
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.8.9.1",
        "[::1]",
        "[::1]:8080",
        "10.1.2.3:8080",  # a page that was rebound sends a name
    ],
)
def test_addresses_and_localhost_are_always_answered_to(host: str) -> None:
    assert LOOPBACK.accepts(host)
    assert EVERYWHERE.accepts(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example:80:80",
        "evillocalhost.example",
        "127.0.0.1@evil.example",
        "evil.example/localhost",
        "127.1.example",
        "[::1].evil.example",
        "[evil.example]",
        "",
        ":8080",
        "localhost evil.example",
        "localhost,evil.example",
        "local\u0131host",
    ],
)
def test_a_name_that_a_stranger_may_own_is_not_answered_to(host: str) -> None:
    assert not LOOPBACK.accepts(host)
    assert not EVERYWHERE.accepts(host)


@pytest.mark.parametrize("host", ["router", "router:8080", "router.lan.local", "a.internal"])
def test_names_that_no_stranger_can_own_are_answered_to_beyond_loopback(host: str) -> None:
    assert EVERYWHERE.accepts(host)
    assert not LOOPBACK.accepts(host)


def test_the_setting_names_further_hosts() -> None:
    hosts = Hosts.of(" Router.example.com, other.example. ", "127.0.0.1", ["127.0.0.1"])
    for host in ("router.example.com", "ROUTER.EXAMPLE.COM:443", "other.example", "localhost"):
        assert hosts.accepts(host)
    for host in ("example.com", "x.router.example.com", "evil.example"):
        assert not hosts.accepts(host)
    assert Hosts.of("*", "127.0.0.1", ["127.0.0.1"]).accepts("evil.example")
    assert Hosts.of(None, "Router.example.com", ["192.0.2.1"]).accepts("router.example.com:8080")


@pytest.mark.parametrize("entry", ["http://a.example", "a.example:80", "a b", "*.example", "ä.de"])
def test_an_entry_that_is_no_name_is_refused(entry: str) -> None:
    with pytest.raises(InvalidSettingError, match="SESSION_ROUTER_HTTP_ALLOWED_HOSTS names"):
        Hosts.of(f"fine.example,{entry}", "127.0.0.1", ["127.0.0.1"])


def headers(**given: str) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}


OTHER_SITES = [
    headers(sec_fetch_site="cross-site"),
    headers(sec_fetch_site="same-site"),
    headers(sec_fetch_site="cross-site", origin="http://test"),
    headers(origin="http://evil.example"),
    headers(origin="null"),
    headers(origin="http://test:8080"),
    headers(origin="http://test.evil.example"),
    headers(origin="http://evil.example@test.evil.example"),
    headers(origin="file://test"),
    headers(origin=""),
    headers(origin="http://["),
]
OURS = [
    {},
    headers(sec_fetch_site="same-origin"),
    headers(sec_fetch_site="none"),
    headers(sec_fetch_site="same-origin", origin="http://other.example"),
    headers(origin="http://test"),
    headers(origin="HTTP://Test:80"),
    headers(origin="https://test"),  # what ends TLS stands between
]


@pytest.mark.parametrize("sent", OTHER_SITES, ids=str)
async def test_a_page_of_another_site_changes_nothing(
    memory: httpx.AsyncClient, sent: dict[str, str]
) -> None:
    session = (await memory.put("/sessions/chat/agents/writer/alice")).json()
    for method, path in (
        ("POST", "/sessions"),
        ("PUT", "/sessions/new"),
        ("POST", "/sessions/chat/touch"),
        ("POST", "/sessions/chat/interrupt"),
        ("DELETE", "/sessions/chat"),
        ("DELETE", f"/sessions/chat/agents/writer/alice?stream_id={session['stream_id']}"),
        ("PATCH", "/sessions/chat"),
    ):
        assert_problem(await memory.request(method, path, headers=sent), 403, "cross-site")
    [left] = (await memory.get("/sessions")).json()["items"]
    assert (left["session_id"], left["agents_streaming"]) == ("chat", ["writer/alice"])


@pytest.mark.parametrize("sent", OURS, ids=str)
async def test_a_program_and_a_page_of_the_same_origin_are_served(
    memory: httpx.AsyncClient, sent: dict[str, str]
) -> None:
    assert (await memory.put("/sessions/chat", headers=sent)).status_code == 200
    assert (await memory.delete("/sessions/chat", headers=sent)).status_code == 204


async def test_another_sites_page_may_ask_and_is_not_shown_the_answer(
    memory: httpx.AsyncClient,
) -> None:
    sent = headers(sec_fetch_site="cross-site", origin="http://evil.example")
    answer = await memory.get("/sessions", headers=sent)
    assert answer.status_code == 200
    preflight = await memory.options("/sessions", headers=sent)
    for response in (answer, preflight):
        assert not [name for name in response.headers if name.startswith("access-control")]


async def test_a_host_that_is_not_answered_to_is_refused_at_every_path() -> None:
    async with SessionManager(InMemorySessionRepository()) as manager:
        app = create_app(manager, hosts=LOOPBACK)
        async with client_of(app) as client:
            for path in ("/sessions", "/docs", "/openapi.json", "/healthz", "/nowhere"):
                answer = await client.get(path, headers={"host": "evil.example:8080"})
                detail = assert_problem(answer, 421, "wrong-host")["detail"]
                assert "'evil.example:8080'" in detail
                assert "SESSION_ROUTER_HTTP_ALLOWED_HOSTS" in detail
            assert (await client.get("/sessions", headers={"host": "127.0.0.1:1"})).is_success


async def test_the_service_checks_what_it_is_asked_for(sqlite_url: str) -> None:
    with Service.running(
        database_url=sqlite_url, http_allowed_hosts="router.example.com"
    ) as service:
        for host, status in (
            ("127.0.0.1", 200),
            ("router.example.com:443", 200),
            ("evil.example", 421),
            ("router", 421),
        ):
            asked = f"GET /sessions HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            assert (await service.send(asked.encode())).status == status
        # As simple monitors ask; no browser leaves the host out.
        assert (await service.send(b"GET /healthz HTTP/1.0\r\n\r\n")).status == 200
