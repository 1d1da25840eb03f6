"""docs/on-call.md says what is so: its commands are run where what they are about has happened."""

import re
import shlex
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.access import Keys, NewKey
from session_router.hooks import HookStore
from session_router.hooks.hook import NewHook
from session_router.repository.changes import Register
from session_router.repository.records import Requester
from session_router.settings import Tuning
from tests.audit.conftest import KEY
from tests.cli.program import Program
from tests.docs.pages import read
from tests.support.by_hand import execute
from tests.support.runtimes import Runtime

PAGE = "docs/on-call.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", read(PAGE), re.DOTALL | re.MULTILINE)
COMMANDS = [
    line
    for language, block in BLOCKS
    for line in block.splitlines()
    if not language and line.startswith("session-router ")
]
STATEMENTS = [block.strip().rstrip(";") for language, block in BLOCKS if language == "sql"]
NAMED_KEY = "e78ba7e5cd11"


def test_there_are_at_least_ten_incidents_and_each_tells_the_same() -> None:
    incidents = re.split(r"^## \d+\. ", read(PAGE), flags=re.MULTILINE)[1:]

    assert len(incidents) >= 10
    for incident in incidents:
        told = ("**You see**", "```\n", "**It is over**")
        assert all(part in incident for part in told), incident.splitlines()[0]


def test_alerts_and_events_that_are_named_exist() -> None:
    alerts, log = read("docs/alerts.yml"), read("docs/logs.md")
    page = read(PAGE)

    for alert in re.findall(r"`(SessionRouter\w+)`", page):
        assert f"alert: {alert}\n" in alerts
    events = re.findall(r"(?:INFO|WARNING|ERROR) (\w+) ", page)
    assert len(events) >= 5
    for event in events:
        assert f"`{event}`" in log


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    made = SQLAlchemySessionRepository.from_url(database_url)
    yield made
    await made.close()


@pytest.fixture
async def incidents(
    repository: SQLAlchemySessionRepository, database_url: str
) -> AsyncIterator[str]:
    """It has happened: a worker was lost with a stream, a hook gave up; a key leaked. Its id."""
    await a_worker_is_lost(repository)
    new_hook = NewHook.to_url("http://127.0.0.1:9/", ["stream.finished"], None, allows_private=True)
    async with HookStore.opened(database_url) as hooks, Keys.opened(database_url) as keys:
        await hooks.put(new_hook)
        leaked = await keys.add(NewKey.of("night batch", ["operate"], None), None, None)
    tuning = Tuning(poll_interval_sec=0.05)
    async with SessionManager(repository, Runtime(), tuning=tuning) as manager:
        await manager.start_session("chat-17", owner="acme")
        for session_id, agent in (("chat-17", "writer/a"), ("demo-1", "reader/moby-dick")):
            await manager.register_agent(session_id, AgentId.from_str(agent))
        await manager.register_agent("chat-19", AgentId("scraper", "deaf"))
        await manager.interrupt_streaming_agents("chat-19", wait=60)
        dead = (
            "UPDATE session_router.hook_deliveries SET dead_at = due_at, last_error = 'no answer'"
        )
        await execute(database_url, f"{dead} RETURNING delivery_id")
        yield leaked.key_id


async def a_worker_is_lost(repository: SQLAlchemySessionRepository) -> None:
    worker_id = await repository.add_worker(uuid4(), "box-1", 4711)
    for session_id in ("chat-18", "chat-28"):
        await repository.register_stream(
            Register(session_id, AgentId("writer", "b"), worker_id, uuid4(), renew=True)
        )
    await repository.interrupt_streams("chat-18", None, Requester())
    await repository.reap_workers({worker_id: (await repository.heartbeats())[worker_id]})


async def test_every_command_works_where_it_has_happened(
    program: Program, incidents: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", database_url)
    monkeypatch.setenv("SESSION_ROUTER_ERASURE_KEY", KEY)
    assert len(COMMANDS) >= 25
    for command in COMMANDS:
        call, _, file = command.partition(" | ")[0].partition(" > ")
        words = shlex.split(call.replace(NAMED_KEY, incidents))[1:]
        done = await program.call(*words)
        assert done.code == 0, (command, done.err)
        assert done.out or done.err, command  # where there is nothing to list, that is said
        if file:
            (program.folder / file).write_text(done.out)


async def test_commands_in_the_text_exist(program: Program) -> None:
    named = re.findall(r"`session-router ([a-z][a-z -]*)[^`]*`", read(PAGE))

    assert len(named) > 10
    for command in named:
        words = [word for word in command.split() if not word.startswith("-")][:2]
        done = await program.call(*words, "--help")
        assert done.code == 0, command


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_every_statement_is_understood(postgres_url: str, statement: str) -> None:
    await execute(postgres_url, statement)
