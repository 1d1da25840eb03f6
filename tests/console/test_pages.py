"""What the console shows: what is there, however it is called, a page at a time."""

import re
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from session_router import (
    AgentId,
    InMemorySessionRepository,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.audit.keys import NO_KEYS
from session_router.audit.laws import Violation
from session_router.audit.trail import Trail
from session_router.audit.verification import record, verify
from session_router.console import console
from session_router.console.lives import lives_of
from session_router.console.words import age, count, length, plain
from session_router.doorbell import ToldBy
from session_router.errors import UnsupportedError
from session_router.repository.changes import Register
from session_router.repository.records import Requester
from session_router.watch import queries as queries_module
from tests.http.conftest import client_of

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "a/../../b?c=d&e=f#g%2F",
    "javascript:alert(1)",
    "\u202ereversed\u2066\n\r\t\x1b[31m",
    "x" * 255,
    "..",
    "  ",
]
OTHERS = ["uPlot.min.js", "uPlot.min.css", "uPlot.LICENSE", "htmx.LICENSE"]
PAGES = [
    "/console/",
    "/console/streams",
    "/console/sign-in",
    "/console/static/console.js",
    "/console/none",
]


async def test_every_answer_forbids_scripts_styles_and_frames_of_others(
    client: httpx.AsyncClient,
) -> None:
    for path in PAGES:
        headers = (await client.get(f"/console/{path}")).headers
        policy = headers["content-security-policy"]
        for said in (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ):
            assert said in policy.split("; "), path
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


async def test_no_page_has_a_script_or_style_within_or_asks_another_host(
    client: httpx.AsyncClient, manager: SessionManager
) -> None:
    await manager.register_agent("s", AgentId("writer", "a"))
    for path in ("", "session?id=s", "sign-in", "session?id="):
        page = (await client.get(f"/console/{path}")).text
        assert re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|hx-on|js:", page) is None
        assert re.search(r"(?:src|href|action|hx-\w+)=\"(?:https?:)?//", page) is None


async def test_the_files_are_those_of_the_package_with_their_licences(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get("/console/")).text
    files = re.findall(r"(?:src|href)=\"(static/[^\"]+)\"", page)
    assert len(files) == 4
    for file in [*files, *(f"static/{name}" for name in OTHERS)]:
        answer = await client.get(f"/console/{file}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=3600"
    assert (await client.get("/console/static/../app.py")).status_code == 404
    assert (await client.get("/console/static/%2e%2e/app.py")).status_code == 404


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_ids_agents_actors_and_reasons_are_text_and_nothing_else(
    client: httpx.AsyncClient, manager: SessionManager, hostile: str
) -> None:
    await manager.register_agent(hostile, AgentId("writer", hostile), owner=hostile)
    page = (await client.get("/console/")).text
    await manager.interrupt_streaming_agents(hostile, actor=hostile, reason=hostile)
    pages = [page, (await client.get("/console/")).text]
    [link] = set(re.findall(r"href=\"(session\?[^\"]+)\"", page))
    pages.append((await client.get(f"/console/{link}")).text)
    assert "interrupt requested" in pages[-1]
    for shown in pages:
        text = re.sub(r' (?:data-session-id|name="id" value)="[^"]*"', "", shown)  # is sent back
        for marked in ("<script>alert", "<img src=x", "<svg/onload", "49{%", "\u202e", "\x1b"):
            assert marked not in text
        assert "<bdi" in text


async def test_streams_are_listed_oldest_first_and_narrowed_down(
    client: httpx.AsyncClient, manager: SessionManager
) -> None:
    await manager.register_agent("beta-1", AgentId("writer", "a"), owner="acme")
    await manager.register_agent("alpha-1", AgentId("writer", "b"))
    await manager.register_agent("alpha-2", AgentId("reader", "c"))

    async def listed(query: str = "") -> list[str]:
        page = await client.get(f"/console/streams?{query}")
        assert page.status_code == 200
        return re.findall(r"session\?id=([\w-]+)", page.text)

    assert await listed() == ["beta-1", "alpha-1", "alpha-2"]
    assert await listed("session=alpha") == ["alpha-1", "alpha-2"]
    assert await listed("agent_type=reader") == ["alpha-2"]
    assert await listed("owner=acme") == ["beta-1"]
    assert await listed(f"worker_id={manager.worker_id}&agent_type=writer") == ["beta-1", "alpha-1"]
    assert await listed(f"worker_id={uuid4()}") == []
    assert await listed("older_than=600") == []
    assert await listed("session=100%25_") == []


@pytest.mark.parametrize(
    "query",
    ["worker_id=x", "older_than=7", "older_than=%C2%B2", "agent_type=a%20b", "after=x", "after=_",
     "after=2026-01-01T00:00:00_00000000-0000-0000-0000-000000000000", "owner=" + "o" * 256],
)  # fmt: skip
async def test_what_no_stream_can_have_is_refused_in_words(
    client: httpx.AsyncClient, query: str
) -> None:
    page = await client.get(f"/console/?{query}")
    assert page.status_code == 400
    assert "<h1>A value is not acceptable</h1>" in page.text
    part = await client.get(f"/console/streams?{query}", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["hx-retarget"]) == (400, "#fault")


async def test_narrowing_down_becomes_the_pages_address_and_a_refresh_does_not(
    client: httpx.AsyncClient,
) -> None:
    path, ours = "/console/streams?agent_type=writer&owner=", {"HX-Request": "true"}
    asked = await client.get(path, headers=ours | {"HX-Source": "form#filters"})
    assert asked.headers["hx-replace-url"] == "./?agent_type=writer"
    refreshed = await client.get(path, headers=ours | {"HX-Source": "div#streams"})
    assert "hx-replace-url" not in refreshed.headers


async def test_of_many_streams_a_page_is_shown_and_a_link_to_the_next(
    client: httpx.AsyncClient,
    manager: SessionManager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queries_module, "PAGE", 2)
    for number in range(5):
        await manager.register_agent(f"s{number}", AgentId("writer", "a"))
    seen, path = [], "./"
    while path:
        page = (await client.get(f"/console/{path.removeprefix('./')}")).text
        seen.append(re.findall(r"session\?id=(\w+)", page))
        found = re.search(r"href=\"([^\"]+)\">Younger ones", page)
        path = found[1].replace("&amp;", "&") if found else ""
    assert seen == [["s0", "s1"], ["s2", "s3"], ["s4"]]


async def test_the_strip_counts_what_there_is(
    client: httpx.AsyncClient, manager: SessionManager
) -> None:
    await manager.register_agent("s", AgentId("writer", "a"))
    await manager.start_session("quiet")
    strip = (await client.get("/console/overview")).text
    found = dict(re.findall(r"<dt>([^<]+)</dt><dd>(?:<small>)?([^<]+)", strip))
    assert found == {
        "Streams": "1",
        "Sessions": "2",
        "Workers": "1",
        "Unsettled signals": "0",
        "Expired, not swept": "0",
        "Last verified": "never yet",
        "Last seal": "none yet",
    }


async def test_the_strip_tells_when_the_trail_was_verified_and_that_it_is_broken(
    client: httpx.AsyncClient, database_url: str
) -> None:
    for is_broken in (False, True):
        async with Trail.opened(database_url) as trail:
            found = await verify(trail, NO_KEYS)
            broken = [Violation("law 1", "stream", "x", {})] if is_broken else []
            await record(trail, replace(found, violations=broken), None)
        strip = (await client.get("/console/overview")).text
        [told] = re.findall(r"<dt>Last verified</dt><dd>.* <small>(ago[^<]*)", strip)
        assert told == ("ago: broken" if is_broken else "ago")


async def test_an_open_signal_is_shown_in_the_row_and_counted_with_its_age(
    client: httpx.AsyncClient, repository: SQLAlchemySessionRepository, manager: SessionManager
) -> None:

    deaf = uuid4()
    await repository.add_worker(deaf, "elsewhere", 1)
    stream_id, agent_id = uuid4(), AgentId("writer", "a")
    await repository.register_stream(Register("s", agent_id, deaf, stream_id, renew=False))
    await repository.interrupt_streams("s", None, Requester(actor="bob"))
    page = (await client.get("/console/")).text
    assert "stopping, " in page
    assert "<small>oldest " in page
    await repository.remove_worker(deaf)
    page = (await client.get("/console/")).text
    assert "the worker stopped before the signal was delivered" in page
    assert page.count(f'id="stream-{stream_id}"') == 1


async def test_workers_are_listed_with_their_lease_and_the_lost_ones_of_the_day(
    client: httpx.AsyncClient, repository: SQLAlchemySessionRepository, manager: SessionManager
) -> None:
    gone = uuid4()
    await repository.add_worker(gone, "gone-host", 4711)
    agent_id = AgentId("writer", "a")
    await repository.register_stream(Register("s", agent_id, gone, uuid4(), renew=False))
    workers = (await client.get("/console/workers")).text
    assert "gone-host" in workers
    assert "pid 4711" in workers
    assert "left" in workers
    told: dict[ToldBy, str] = {"listening": "notifications", "service": "the service"}
    for told_by, shown in told.items():
        assert await repository.note_wake_ups(gone, told_by)
        workers = (await client.get("/console/workers")).text
        [row] = re.findall(f'<tr id="worker-{gone}">.*?</tr>', workers, re.DOTALL)
        assert f">{shown}<" in row
    heartbeats = await repository.heartbeats()
    await repository.reap_workers({gone: heartbeats[gone]})
    history = (await client.get("/console/history")).text
    assert str(gone) in history
    assert "worker lost" in history


async def test_a_story_is_told_life_by_life_a_page_at_a_time(
    client: httpx.AsyncClient, manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries_module, "EVENTS", 3)
    await manager.start_session("s", owner="acme")
    await manager.end_session("s", actor="bob", reason="done")
    await manager.register_agent("s", AgentId("writer", "a"))
    page = (await client.get("/console/session?id=s")).text
    assert page.index("Goes on") < page.index("Ended")
    assert "bob" in page
    [earlier] = re.findall(r"href=\"([^\"]+)\">Earlier events", page)
    older = (await client.get(f"/console/{earlier.replace('&amp;', '&')}")).text
    assert "session started" in older
    assert "The newest events" in older
    assert "Nothing is known" in (await client.get("/console/session?id=S")).text
    for wrong in ("", "before=x&id=s", f"before={2**63}&id=s"):
        assert (await client.get(f"/console/session?{wrong}")).status_code == 400


async def test_bars_show_when_what_ended_went_on(manager: SessionManager) -> None:
    await manager.register_agent("s", AgentId("writer", "a"))
    await manager.unmark_agent_streaming("s", AgentId("writer", "a"))
    [life] = lives_of(await manager.repository.list_events("s"))
    bars = [(told.left + told.width, told.width) for told in life.story]
    assert bars[-1][0] == pytest.approx(100, abs=0.1)
    assert bars[0] == (0, 0)


async def test_a_host_mounts_it_wherever_it_likes(manager: SessionManager) -> None:
    host = FastAPI()
    host.mount("/static/router console", console(manager))
    await manager.register_agent("s", AgentId("writer", "a"))
    async with client_of(host) as client:
        page = await client.get("/static/router%20console/")
        assert "writer/a" in page.text
        assert page.headers["cache-control"] == "no-store"
        file = await client.get("/static/router%20console/static/console.js")
        assert (file.status_code, file.headers["cache-control"]) == (200, "public, max-age=3600")


def test_without_a_database_there_is_nothing_to_look_at() -> None:
    with pytest.raises(UnsupportedError, match="on none"):
        console(SessionManager(InMemorySessionRepository()))


def test_lengths_ages_and_counts_read_well() -> None:
    said = [length(each) for each in (0.009, 1.25, 59.94, 61, 3_600, 90_000)]
    assert said == ["9 ms", "1.2 s", "59.9 s", "1 min 01 s", "1 h 00 min", "1 d 1 h"]
    assert [age(timedelta(seconds=each)) for each in (-1, 0.4, 9.9)] == ["0 s", "0 s", "9 s"]
    assert (count(1_234), count(100_000), length(None)) == ("1,234", "100,000 +", "")
    assert plain("a\u202eb\n\ud800é") == "a\\u202eb\\n\\ud800é"
