"""The console as people use it: in headless Chromium, on a service in a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.access import Keys
from session_router.access.keys import parts_of
from session_router.events import EventName
from tests.console.browser import Person, chromium
from tests.console.conftest import key_for
from tests.console.test_pages import HOSTILE
from tests.http.service import Service
from tests.support.sources import Source, hang
from tests.support.trail import events
from tests.support.waiting import eventually

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """Two processes and several browsers: what it is in production."""
    return postgres_url


@pytest.fixture
def home(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The console's address, of a service that other workers run beside."""
    with Service.running(tmp_path, database_url=database_url) as service:
        yield f"http://{service.host}:{service.port}/console/"


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    async with chromium() as opened:
        yield opened


@pytest.fixture
async def person(browser: Any, home: str) -> AsyncIterator[Person]:
    async with Person.before(browser, home) as before:
        yield before


class Agents:
    """Agents that stream in this process, which is a worker beside the service, until stopped."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self, session_id: str, agent_id: AgentId, owner: str | None = None) -> UUID:
        stream = self._manager.stream(session_id, agent_id, Source(then=hang), owner=owner)
        await stream.start()

        async def consume() -> None:
            async for _ in stream:
                pass

        self._tasks.append(asyncio.create_task(consume()))
        return stream.stream_id

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def agents(manager: SessionManager) -> AsyncIterator[Agents]:
    made = Agents(manager)
    yield made
    await made.end()


WRITER = AgentId("writer", "ann")


async def test_one_agent_is_stopped_with_a_reason_and_its_receipt_appears_in_its_row(
    person: Person, agents: Agents, repository: SQLAlchemySessionRepository
) -> None:
    await agents.begin("chat-1", WRITER)
    await agents.begin("chat-2", WRITER)
    await person.open()
    await person.row("chat-1").get_by_role("button").click()
    await person.page.get_by_label("Reason").fill("runs away")
    await person.page.locator("#stop .danger").click()
    row = person.row("chat-1")
    await row.locator(".delivered").wait_for()
    assert "runs away" in await row.inner_text()
    assert await person.page.locator("dialog[open]").count() == 0
    assert await person.row("chat-2").get_by_role("button").count() == 1
    [asked] = await events(repository, EventName.INTERRUPT_REQUESTED)
    assert (asked.session_id, asked.detail) == ("chat-1", "runs away")


async def test_all_that_match_are_stopped_after_they_were_counted(
    person: Person, agents: Agents
) -> None:
    for number in range(3):
        await agents.begin(f"chat-{number}", AgentId("writer", "ann"))
        await agents.begin(f"chat-{number}", AgentId("reader", "bob"))
    await person.open("?agent_type=writer")
    await person.page.get_by_role("button", name="Stop all that match").click()
    await person.sees("#stop-all h2", "Stop 3 streams in 3 sessions")
    await person.page.keyboard.press("Escape")
    await person.page.get_by_role("button", name="Stop all that match").click()
    await person.page.locator("#stop-all .danger").click()
    await person.sees("#notice", "3 told to stop: 3 delivered")
    await person.sees("#streams .receipt", "delivered")
    await person.open()
    await eventually(lambda: _count(person, "#streams button", 3))


async def test_filters_narrow_the_list_down_and_stay(person: Person, agents: Agents) -> None:
    await agents.begin("alpha-1", AgentId("writer", "ann"), "acme")
    await agents.begin("beta-1", AgentId("reader", "bob"))
    await person.open()
    for label, text, left in (
        ("Session begins with", "alp", "alpha-1"),
        ("Agent type", "reader", "beta-1"),
        ("Owner", "acme", "alpha-1"),
    ):
        field = person.page.get_by_label(label)
        await field.fill(text)
        await field.press("Enter")
        await eventually(lambda: _count(person, "#streams tbody tr", 1))
        assert left in await person.page.locator("#streams tbody").inner_text()
        await person.page.reload()
        assert await person.page.get_by_label(label).input_value() == text
        assert await person.page.locator("#streams tbody tr").count() == 1
        await person.page.get_by_role("link", name="Clear").click()
        await eventually(lambda: _count(person, "#streams tbody tr", 2))
    await person.page.get_by_label("Older than").select_option("600")
    await person.sees("#streams", "Nothing streams that matches")
    await person.page.get_by_label("Older than").select_option("")
    await eventually(lambda: _count(person, "#streams tbody tr", 2))
    await person.page.get_by_role("textbox", name="Worker").fill("nonsense")
    await person.page.get_by_role("textbox", name="Worker").press("Enter")
    await person.sees("#fault", "no UUID")


async def test_the_page_refreshes_itself_keeps_the_focus_and_rests_while_hidden(
    person: Person, agents: Agents
) -> None:
    await agents.begin("chat-1", WRITER)
    await person.open()
    button = person.row("chat-1").get_by_role("button")
    await button.focus()
    await agents.begin("chat-2", WRITER)
    await person.sees("#streams", "chat-2")
    assert await button.evaluate("(it) => it === document.activeElement")
    await _hide(person, hidden=True)
    assert await person.page.locator("#paused").is_visible()
    asked: list[str] = []
    person.page.on("request", lambda request: asked.append(request.url))
    await agents.begin("chat-3", WRITER)
    await person.page.wait_for_timeout(4_500)  # two refreshes, had there been any
    assert asked == []
    await _hide(person, hidden=False)
    await person.sees("#streams", "chat-3")


async def test_everything_can_be_done_with_the_keyboard(person: Person, agents: Agents) -> None:
    await agents.begin("chat-1", WRITER)
    await person.open()
    button = person.row("chat-1").get_by_role("button")
    for _ in range(30):
        await person.page.keyboard.press("Tab")
        if await button.evaluate("(it) => it === document.activeElement"):
            break
    await person.page.keyboard.press("Enter")
    await person.page.keyboard.type("by hand")
    await person.page.keyboard.press("Enter")
    await person.row("chat-1").locator(".delivered").wait_for()
    assert "by hand" in await person.row("chat-1").inner_text()


async def test_a_sessions_story_is_told_and_goes_on_and_its_agent_is_stopped_there(
    person: Person, agents: Agents, manager: SessionManager
) -> None:
    await manager.start_session("chat-1")
    await manager.end_session("chat-1", actor="bob", reason="first life")
    await agents.begin("chat-1", WRITER)
    await person.open()
    await person.page.get_by_role("link", name="chat-1").click()
    await person.sees("h1", "chat-1")
    await person.sees(".life", "first life")
    assert await person.page.locator(".life").count() == 2
    await agents.begin("chat-1", AgentId("reader", "bob"))
    await person.sees("#story", "reader/bob")
    await person.page.get_by_role("button", name="Stop writer/ann").click()
    await person.page.get_by_label("Reason").fill("seen enough")
    await person.page.keyboard.press("Enter")
    await person.sees(".life b", "delivered")
    await person.sees(".life", "seen enough")
    await eventually(lambda: _count(person, "#story button", 1))


async def test_a_key_that_may_only_read_sees_and_cannot_stop(
    person: Person, agents: Agents, keys: Keys
) -> None:
    await agents.begin("chat-1", WRITER)
    await person.sign_in((await key_for(keys, ["read"])).token)
    await person.sees("#streams", "chat-1")
    await person.sees(".who", "sees only")
    assert await person.page.locator(".stop, #stop, #ask-to-stop-all").count() == 0


async def test_a_wrong_key_is_refused_and_a_right_one_lets_in_and_out(
    person: Person, keys: Keys
) -> None:
    key = await key_for(keys)
    await person.open()
    await person.page.get_by_label("Key").fill("sr_wrong")
    await person.page.get_by_role("button", name="Sign in").click()
    await person.sees("#fault", "this key is not known")
    await person.sign_in(key.token)
    [cookie] = await person.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/console/")
    parts = parts_of(key.token)
    assert parts is not None
    assert parts[1] not in cookie["value"]
    assert await person.page.evaluate("document.cookie") == ""
    await person.page.get_by_role("button", name="Sign out").click()
    await person.sees("h1", "Sign in")


async def test_who_is_signed_out_elsewhere_is_asked_to_sign_in_by_the_next_refresh(
    person: Person, keys: Keys
) -> None:
    key = await key_for(keys)
    await person.sign_in(key.token)
    await keys.revoke(key.key_id, None)
    await person.sees("h1", "Sign in")


async def test_two_browsers_see_the_same_and_one_sees_what_the_other_stops(
    browser: Any, person: Person, home: str, agents: Agents, keys: Keys
) -> None:
    await agents.begin("chat-1", WRITER)
    await person.sign_in((await key_for(keys)).token)
    async with Person.before(browser, home, color_scheme="dark") as other:
        await other.sign_in((await key_for(keys, ["read"])).token)
        await other.sees("#streams", "chat-1")
        await person.row("chat-1").get_by_role("button").click()
        await person.page.keyboard.press("Enter")
        for each in (person, other):
            await each.row("chat-1").locator(".delivered").wait_for()
            assert "Ann on call" in await each.row("chat-1").inner_text()


async def test_both_of_two_who_stop_the_same_stream_are_told_that_it_has_stopped(
    browser: Any, person: Person, home: str, agents: Agents
) -> None:
    await agents.begin("chat-1", WRITER)
    async with Person.before(browser, home) as other:
        for each in (person, other):
            await each.open()
            await each.row("chat-1").get_by_role("button").click()
        await asyncio.gather(
            person.page.keyboard.press("Enter"), other.page.keyboard.press("Enter")
        )
        for each in (person, other):
            await each.row("chat-1").locator(".delivered").wait_for()


@pytest.mark.parametrize("how", [{}, PHONE], ids=["desk", "phone"])
async def test_whatever_things_are_called_no_script_runs_and_the_layout_holds(
    browser: Any, home: str, agents: Agents, manager: SessionManager, how: dict[str, Any]
) -> None:
    for hostile in HOSTILE:
        await agents.begin(hostile, AgentId("writer", hostile), hostile)
    async with Person.before(browser, home, **how) as person:
        await person.open()
        assert not await person.is_too_wide()
        for hostile in HOSTILE:
            await manager.register_agent(hostile, AgentId("reader", hostile))
        count = 2 * len(HOSTILE)
        await eventually(lambda: _count(person, "#streams button", count))
        for left in reversed(range(count)):
            await person.page.locator("#streams button").first.click()
            await person.page.get_by_label("Reason").fill(HOSTILE[left % len(HOSTILE)])
            await person.page.keyboard.press("Enter")
            await eventually(partial(_count, person, "#streams button", left))
        assert not await person.is_too_wide()
        links = await person.page.locator("#streams td:first-child a").evaluate_all(
            "(all) => [...new Set(all.map((each) => each.getAttribute('href')))]"
        )
        assert len(links) == len(HOSTILE)
        for link in links:
            await person.open(link)
            await person.sees("#story", "interrupt requested")
            assert not await person.is_too_wide()


async def test_the_charts_of_the_last_day_are_drawn_and_said_in_words(
    person: Person, agents: Agents, manager: SessionManager
) -> None:
    await agents.begin("chat-1", WRITER)
    await manager.interrupt_streaming_agents("chat-1", wait=10)
    await agents.begin("chat-1", WRITER)
    await person.open()
    await person.page.locator(".chart canvas").nth(2).wait_for()
    said = await person.page.locator(".chart").evaluate_all(
        "(all) => all.map((each) => each.getAttribute('aria-label'))"
    )
    assert "2 started, 1 ended" in said[1]
    assert "99 of 100 stops" in said[2]
    await person.sees(".outcomes", "interrupted")


async def test_a_service_that_is_gone_is_said_to_be_gone(
    browser: Any, database_url: str, tmp_path: Path
) -> None:
    with Service.running(tmp_path, database_url=database_url) as service:
        home = f"http://{service.host}:{service.port}/console/"
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(home)
    await page.locator("#fault").filter(has_text="does not answer").wait_for()
    await context.close()


async def _count(person: Person, selector: str, number: int) -> bool:
    found: int = await person.page.locator(selector).count()
    return found == number


async def _hide(person: Person, *, hidden: bool) -> None:
    """As when another tab is looked at."""
    await person.page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
