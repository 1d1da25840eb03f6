"""Random operations of several workers against a model: they agree after every step."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from session_router import (
    AgentId,
    InMemorySessionRepository,
    Session,
    SessionBusyError,
    SessionManager,
    SessionRepository,
    SQLAlchemySessionRepository,
    StreamStoppedError,
    WhenBusy,
)
from session_router.settings import Tuning
from session_router.worker.stream import AgentStream
from tests.support.emptying import empty
from tests.support.laws import contents, violations
from tests.support.runtimes import Runtime
from tests.support.sources import Source, hang

T = TypeVar("T")

NOBODY = UUID(int=0)
AGENTS = [AgentId("writer", "a"), AgentId("writer", "b"), AgentId("critic", "a")]

# Few of each, so that operations meet.
session_ids = st.sampled_from(["s", "t"])
agent_ids = st.sampled_from(AGENTS)
some_agents = st.sets(agent_ids)
workers = st.integers(0, 2)
places = st.integers(0, 1_000)  # in a list of whatever length it has then


class Stream(NamedTuple):
    stream_id: UUID
    worker_id: UUID


@dataclass
class Model:
    """What is to be in the database, and every stream id that ever was."""

    sessions: dict[str, dict[AgentId, Stream]] = field(default_factory=dict)
    idle: set[str] = field(default_factory=set)
    used: list[UUID] = field(default_factory=list)
    names: list[UUID] = field(default_factory=lambda: [uuid4()])
    early_stops: dict[UUID, str] = field(default_factory=dict)

    def next_name(self) -> UUID:
        """A name that no stream has had yet, though perhaps a stop; the same until one has it."""
        if self.names[-1] in self.used:
            self.names.append(uuid4())
        return self.names[-1]

    def touch(self, session_id: str) -> dict[AgentId, Stream]:
        self.idle.discard(session_id)
        return self.sessions.setdefault(session_id, {})

    def end(self, session_id: str) -> bool:
        self.idle.discard(session_id)
        return self.sessions.pop(session_id, None) is not None

    def open(self, session_id: str, agent_id: AgentId, stream: Stream) -> None:
        assert stream.stream_id not in self.used, "a stream id was used again"
        self.used.append(stream.stream_id)
        self.sessions[session_id][agent_id] = stream

    def close(self, stream: Stream) -> None:
        for streams in self.sessions.values():
            for agent_id in [a for a, current in streams.items() if current == stream]:
                del streams[agent_id]

    def close_worker(self, worker_id: UUID) -> None:
        for streams in self.sessions.values():
            for stream in list(streams.values()):
                if stream.worker_id == worker_id:
                    self.close(stream)


class Workers(RuleBasedStateMachine):
    """Three workers on one repository; one of their agents cannot be stopped."""

    def __init__(self, runner: asyncio.Runner, repository: SessionRepository) -> None:
        super().__init__()
        self._runner = runner
        self._repository = repository
        self._managers = [self._manager() for _ in range(3)]
        self._model = Model()
        self._open: list[tuple[AgentStream[str], Stream]] = []
        self._run(_empty(repository))

    def _manager(self) -> SessionManager:
        def break_() -> None:
            raise OSError("cannot be stopped")

        quiet = Tuning(poll_interval_sec=86_400, cancel_timeout_sec=0.05)
        return SessionManager(self._repository, Runtime(b=break_), tuning=quiet)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(_in_time(work))

    @rule(session_id=session_ids, worker=workers)
    def start(self, session_id: str, worker: int) -> None:
        session = self._run(self._managers[worker].start_session(session_id))
        assert session.agents_streaming == self._model.touch(session_id).keys()

    @rule(session_id=session_ids, worker=workers)
    def start_new(self, session_id: str, worker: int) -> None:
        session = self._run(self._managers[worker].start_new_session(session_id))
        self._model.end(session_id)
        assert session.agents_streaming == self._model.touch(session_id).keys() == set()

    @rule(session_id=session_ids, worker=workers)
    def get(self, session_id: str, worker: int) -> None:
        session = self._run(self._managers[worker].get_session(session_id))
        assert (session is not None) == (session_id in self._model.sessions)
        if session is not None:
            assert session.agents_streaming == self._model.touch(session_id).keys()

    @rule(session_id=session_ids, agent_id=agent_ids, worker=workers)
    def register(self, session_id: str, agent_id: AgentId, worker: int) -> None:
        manager = self._managers[worker]
        stream_id = self._run(manager.register_agent(session_id, agent_id))
        stream = Stream(stream_id, manager.worker_id)
        current = self._model.touch(session_id).get(agent_id)
        if current is None or current.worker_id != manager.worker_id:
            self._model.open(session_id, agent_id, stream)
        else:
            assert stream == current

    @rule(
        session_id=session_ids,
        agent_id=agent_ids,
        worker=workers,
        when_busy=st.sampled_from(WhenBusy),
        alone=st.booleans(),
    )
    def register_named(
        self, session_id: str, agent_id: AgentId, worker: int, when_busy: WhenBusy, alone: bool
    ) -> None:
        manager, name = self._managers[worker], self._model.next_name()
        streams = self._model.sessions.get(session_id, {})
        in_the_way = {a: s for a, s in streams.items() if alone or a == agent_id}
        asked = manager.register_agent(
            session_id, agent_id, stream_id=name, when_busy=when_busy, alone=alone
        )
        if self._model.early_stops.get(name) == session_id:
            with pytest.raises(StreamStoppedError):
                self._run(asked)
            self._model.touch(session_id)
            self._model.used.append(name)
        elif in_the_way and when_busy is WhenBusy.REFUSE:
            with pytest.raises(SessionBusyError) as error:
                self._run(asked)
            assert list(error.value.streams) == [
                in_the_way[a].stream_id for a in sorted(in_the_way)
            ]
        else:
            assert self._run(asked) == name
            for agent in in_the_way:
                del streams[agent]
            self._model.touch(session_id)
            self._model.open(session_id, agent_id, Stream(name, manager.worker_id))

    @rule(session_id=session_ids, worker=workers, place=places)
    def interrupt_stream(self, session_id: str, worker: int, place: int) -> None:
        known = [self._model.next_name(), *self._model.used[-5:]]
        name = known[place % len(known)]
        streams = self._model.sessions.get(session_id, {})
        found = self._run(self._managers[worker].interrupt_stream(session_id, name)).found
        live = [agent for agent, stream in streams.items() if stream.stream_id == name]
        for agent in live:
            del streams[agent]
        if name in self._model.used:
            assert found == ("live" if live else "over")
        else:
            assert found == "ahead"
            self._model.early_stops.setdefault(name, session_id)

    @rule(worker=workers, agent_type=st.sampled_from([None, "writer", "critic"]))
    def interrupt_all(self, worker: int, agent_type: str | None) -> None:
        done = self._run(self._managers[worker].interrupt_all(agent_type=agent_type))
        stopped = 0
        for streams in self._model.sessions.values():
            for agent in [a for a in streams if agent_type in (None, a.type)]:
                del streams[agent]
                stopped += 1
        assert done.streams == stopped

    @rule(session_id=session_ids, agent_id=agent_ids, worker=workers)
    def open_stream(self, session_id: str, agent_id: AgentId, worker: int) -> None:
        manager = self._managers[worker]
        opened = manager.stream(session_id, agent_id, Source("one", then=hang))
        assert self._run(anext(opened)) == "one"
        stream = Stream(opened.stream_id, manager.worker_id)
        self._model.touch(session_id)
        self._model.open(session_id, agent_id, stream)
        self._open.append((opened, stream))

    @rule(place=places)
    def close_stream(self, place: int) -> None:
        if self._open:
            opened, stream = self._open.pop(place % len(self._open))
            self._run(opened.aclose())
            self._model.close(stream)

    @rule(session_id=session_ids, agent_id=agent_ids, worker=workers)
    def unmark(self, session_id: str, agent_id: AgentId, worker: int) -> None:
        manager = self._managers[worker]
        self._run(manager.unmark_agent_streaming(session_id, agent_id))
        current = self._model.sessions.get(session_id, {}).get(agent_id)
        if current is not None and current.worker_id == manager.worker_id:
            self._model.close(current)

    @rule(session_id=session_ids, agent_id=agent_ids, worker=workers, place=places)
    def unmark_by_id(self, session_id: str, agent_id: AgentId, worker: int, place: int) -> None:
        known = [uuid4(), *self._model.used[-5:]]
        stream_id = known[place % len(known)]
        self._run(self._managers[worker].unmark_agent_streaming(session_id, agent_id, stream_id))
        current = self._model.sessions.get(session_id, {}).get(agent_id)
        if current is not None and current.stream_id == stream_id:
            self._model.close(current)

    @rule(session_id=session_ids, worker=workers, named=st.none() | some_agents)
    def interrupt(self, session_id: str, worker: int, named: set[AgentId] | None) -> None:
        stopped = self._run(self._managers[worker].interrupt_streaming_agents(session_id, named))
        streams = self._model.sessions.get(session_id, {})
        assert stopped == sorted(streams.keys() & (streams.keys() if named is None else named))
        for agent_id in stopped:
            del streams[agent_id]

    @rule(session_id=session_ids, worker=workers)
    def end(self, session_id: str, worker: int) -> None:
        ended = self._run(self._managers[worker].end_session(session_id))
        assert ended == self._model.end(session_id)

    @rule(session_id=session_ids, agents=some_agents, idle=st.booleans())
    def save(self, session_id: str, agents: set[AgentId], idle: bool) -> None:
        moment = datetime.now(UTC) - (timedelta(days=1) if idle else timedelta())
        session = Session(session_id=session_id, last_updated=moment, agents_streaming=agents)
        self._run(self._repository.save_session(session))
        streams = self._model.touch(session_id)
        if idle:
            self._model.idle.add(session_id)
        for row in self._run(self._repository.list_streams(session_id)):
            if row.agent_id not in streams:
                assert row.worker_id == NOBODY
                self._model.open(session_id, row.agent_id, Stream(row.stream_id, NOBODY))
        for agent_id in streams.keys() - agents:
            del streams[agent_id]

    @rule(session_id=session_ids)
    def delete(self, session_id: str) -> None:
        self._run(self._repository.delete_session(session_id))
        self._model.end(session_id)

    @rule(worker=workers)
    def sweep(self, worker: int) -> None:
        counts = self._run(self._managers[worker].expire_old_sessions())
        streams = sum(len(self._model.sessions[session_id]) for session_id in self._model.idle)
        assert (counts.sessions, counts.streams) == (len(self._model.idle), streams)
        for session_id in list(self._model.idle):
            self._model.end(session_id)

    @rule(worker=workers)
    def deliver(self, worker: int) -> None:
        manager = self._managers[worker]
        self._run(manager._workers.peek().dispatcher.run_once())
        assert self._run(self._repository.unsettled_signals(manager.worker_id)) == []

    @rule(worker=workers)
    def restart(self, worker: int) -> None:
        manager = self._managers[worker]
        gone = manager.worker_id
        self._run(manager.shutdown())
        self._model.close_worker(gone)
        assert self._run(self._repository.unsettled_signals(gone)) == []

    @invariant()
    def the_repository_holds_what_the_model_does(self) -> None:
        assert self._run(_held(self._repository)) == self._model.sessions

    @invariant()
    def the_conservation_laws_hold(self) -> None:
        assert self._run(violations(self._repository)) == []

    def teardown(self) -> None:
        for manager in self._managers:
            self._run(manager.shutdown())
        held = self._run(contents(self._repository))
        assert held.signalled_stream_ids == []
        assert self._run(violations(self._repository)) == []


async def _in_time(work: Coroutine[Any, Any, T]) -> T:
    """Nothing here takes longer: what hangs is to fail, for only failures are told and shrunk."""
    async with asyncio.timeout(30):
        return await work


async def _held(repository: SessionRepository) -> dict[str, dict[AgentId, Stream]]:
    return {
        session.session_id: {
            row.agent_id: Stream(row.stream_id, row.worker_id)
            for row in await repository.list_streams(session.session_id)
        }
        for session in await repository.list_sessions()
    }


async def _empty(repository: SessionRepository) -> None:
    if isinstance(repository, SQLAlchemySessionRepository):
        await empty(repository.engine)


@pytest.mark.parametrize(
    ("kind", "examples"),
    [
        *[("memory", 30), ("sqlite", 3), ("postgresql", 3)],
        *(
            pytest.param(kind, examples, marks=pytest.mark.faults)
            for kind, examples in [("memory", 200), ("sqlite", 40), ("postgresql", 40)]
        ),
    ],
)
def test_workers_and_model_agree_after_every_step(
    request: pytest.FixtureRequest, kind: str, examples: int
) -> None:
    with asyncio.Runner() as runner:
        repository: SessionRepository = InMemorySessionRepository()
        if kind != "memory":
            name = "postgres_url" if kind == "postgresql" else "sqlite_url"
            repository = SQLAlchemySessionRepository.from_url(request.getfixturevalue(name))

        class Machine(Workers):
            def __init__(self) -> None:
                fresh = InMemorySessionRepository() if kind == "memory" else repository
                super().__init__(runner, fresh)

        limits = settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(Machine, settings=limits)
        finally:
            runner.run(repository.close())
