"""Erasing a session id: nothing names it any more, and everything still adds up."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_router import (
    AgentId,
    InvalidSettingError,
    Session,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.audit.erasure import erase
from session_router.audit.keys import NO_KEYS, AuditKeys
from session_router.audit.receipts import Receipt
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.database import migrate
from session_router.database.migrate import Target
from session_router.events import EventName, SignalOutcome, StreamOutcome
from session_router.pseudonyms import ErasureKey, is_pseudonym
from session_router.repository.changes import Finish, Register, Touch
from session_router.repository.records import Settlement
from tests.support.by_hand import execute
from tests.support.laws import violations
from tests.support.trail import events

TABLES = (
    *("sessions", "agent_streams", "interrupt_signals", "session_events"),
    "idempotent_requests",
)


async def everything(url: str) -> str:
    """Every row of every table, as one text."""
    found = [await execute(url, f"SELECT * FROM session_router.{table}") for table in TABLES]
    return repr([[tuple(row) for row in rows] for rows in found])


async def erased(trail: Trail, session_id: str, keys: AuditKeys) -> Receipt:
    receipt = await erase(trail, session_id, keys, actor="the officer")
    assert receipt is not None
    return receipt


@pytest.fixture
async def owner(repository: SQLAlchemySessionRepository) -> UUID:
    """A worker that is entered, and settles when the test says so."""
    worker_id = uuid4()
    await repository.add_worker(worker_id, "host", 1)
    return worker_id


async def test_nothing_names_it_any_more(
    repository: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    owner: UUID,
    database_url: str,
) -> None:
    manager = SessionManager(repository)
    for life in range(2):
        await repository.register_stream(
            Register("anns-chat", AgentId("writer", "anns-key"), owner, uuid4(), renew=True)
        )
        await manager.interrupt_streaming_agents("anns-chat", actor="anns-boss", reason="anns-why")
        if not life:
            await manager.end_session("anns-chat", actor="anns-boss")
    await repository.register_stream(
        Register("anns-chat", AgentId("writer", "anns-key"), owner, uuid4(), renew=True)
    )
    before = await events(repository)

    receipt = await erased(trail, "anns-chat", keys)

    assert "anns-" not in await everything(database_url)
    after = await events(repository)
    # Ending the live session wrote two events more: of its stream, and of itself.
    assert receipt.events == len(before) + 2
    assert (receipt.lives, receipt.signals, receipt.was_live) == (2, 3, True)
    assert Counter(e.event for e in after)[EventName.SESSION_ERASED] == 2
    assert {e.session_id for e in after} == {receipt.pseudonym}
    assert {e.agent_type for e in after} == {None, "writer"}
    assert len({e.agent_key for e in after if e.agent_key}) == 1
    assert is_pseudonym(receipt.pseudonym)
    records = await events(repository, "session_erased")
    assert {(e.request_id, e.actor) for e in records} == {(receipt.request_id, "the officer")}
    assert await violations(repository) == []
    assert (await verify(trail, NO_KEYS)).violations == []
    assert await migrate.check(Target(database_url)) == []


async def test_a_worker_still_stops_the_stream_and_leaks_nothing(
    repository: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    owner: UUID,
    database_url: str,
) -> None:
    stream_id = uuid4()
    await repository.register_stream(
        Register("anns-chat", AgentId("writer", "anns-key"), owner, stream_id, renew=False)
    )
    await erased(trail, "anns-chat", keys)

    [signal] = await repository.unsettled_signals(owner)
    assert signal.stream_id == stream_id
    failed = Settlement(signal.signal_id, SignalOutcome.FAILED, "no agent writer/anns-key here")
    assert await repository.settle_signals([failed]) == 1
    agent_id = AgentId("writer", "anns-key")
    completed = StreamOutcome.COMPLETED
    await repository.finish_stream(Finish("anns-chat", agent_id, completed, stream_id=stream_id))
    assert await repository.touch_session(Touch("anns-chat")) is None

    assert "anns-" not in await everything(database_url)
    [settled] = await events(repository, "signal_settled")
    assert (settled.outcome, settled.detail) == ("failed", None)
    assert await violations(repository) == []
    assert (await verify(trail, NO_KEYS)).violations == []


async def test_a_worker_that_dies_afterwards_is_cleared_as_ever(
    repository: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys, owner: UUID
) -> None:
    await repository.register_stream(Register("s", AgentId("a", "b"), owner, uuid4(), renew=False))
    await erased(trail, "s", keys)

    await repository.remove_worker(owner)

    assert await violations(repository) == []
    assert (await verify(trail, NO_KEYS)).violations == []


async def test_the_requests_of_what_is_erased_are_forgotten(
    repository: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys, database_url: str
) -> None:
    async with SessionManager(repository) as manager:
        for session_id in ("alice", "bob"):
            await manager.start_new_session(session_id, request_id=uuid4())
            await manager.request_interrupt(session_id, request_id=uuid4())
        await erased(trail, "alice", keys)
        left = await execute(
            database_url, "SELECT request_id FROM session_router.idempotent_requests"
        )
        told = {str(e.request_id) for e in await events(repository, session_id="bob")}
        assert {str(UUID(str(row[0]))) for row in left} == told


async def test_others_are_left_as_they_are(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    before = [e for e in await events(stories) if e.session_id != "over"]

    await erased(trail, "over", keys)

    others = [e for e in await events(stories) if not is_pseudonym(e.session_id)]
    assert others == before


async def test_equal_values_stay_equal(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    actors = [(await erased(trail, name, keys)).pseudonym for name in ("over", "stopped")]

    assert actors == [keys.pseudonyms.pseudonym("over"), keys.pseudonyms.pseudonym("stopped")]
    found = {e.actor for e in await events(stories) if e.actor not in (None, "the officer")}
    assert keys.pseudonyms.pseudonym("bob") in found


async def test_erasing_twice_finds_nothing_the_second_time(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    await erased(trail, "over", keys)
    before = await events(stories)

    assert await erase(trail, "over", keys) is None
    assert await erase(trail, "nobody", keys) is None

    assert await events(stories) == before


async def test_a_new_life_of_an_erased_id_is_erased_by_the_next_request(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    first = await erased(trail, "live", keys)
    await SessionManager(stories).start_session("live")
    second = await erased(trail, "live", keys)

    assert second.pseudonym == first.pseudonym
    assert (first.lives, second.lives, second.was_live) == (1, 1, True)


async def test_seals_outlast_an_erasure_and_a_pruning_of_what_was_erased(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    await seal(trail, keys)
    await erased(trail, "over", keys)
    await erased(trail, "live", keys)
    assert (await verify(trail, keys)).violations == []
    await seal(trail, keys)
    await erased(trail, "stopped", keys)
    assert (await verify(trail, keys)).violations == []

    await prune(trail, datetime.now(UTC) + timedelta(seconds=5), keys)
    assert (await verify(trail, keys)).violations == []


async def test_a_sealed_trail_is_erased_with_its_own_key_only(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    await seal(trail, keys)
    with pytest.raises(InvalidSettingError, match=keys.pseudonyms.key_id):
        await erase(trail, "over", AuditKeys(ErasureKey("y" * 32)))
    assert await stories.list_events("over")


_NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=_NAMES, agent_key=_NAMES, reason=_NAMES)
async def test_any_text_can_be_sealed_erased_and_verified(
    repository: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    name: str,
    agent_key: str,
    reason: str,
) -> None:
    if is_pseudonym(name):
        return
    agents = {AgentId("a", agent_key)}
    await repository.save_session(Session(session_id=name, agents_streaming=agents))
    await SessionManager(repository).end_session(name, actor=reason, reason=reason)
    await seal(trail, keys)
    await erased(trail, name, keys)

    assert (await verify(trail, keys)).violations == []
    assert await repository.list_events(name) == []
