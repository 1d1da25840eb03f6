"""Connections that are refused, dead, silent or read-only: callers are told, and all recovers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from session_router import (
    AgentId,
    DatabaseUnavailableError,
    DeadlineExceededError,
    SessionManager,
    SessionRouterError,
    SQLAlchemySessionRepository,
)
from session_router.settings import Tuning
from tests.faults.proxy import Proxy
from tests.support.laws import violations
from tests.support.sql import connected, plain
from tests.support.waiting import eventually

WRITER = AgentId("writer", "alice")
TUNING = Tuning(touch_resolution_sec=0, heartbeat_interval_sec=0.5, lease_sec=6)

OPERATIONS: dict[str, Callable[[SessionManager], Awaitable[object]]] = {
    "touch": lambda manager: manager.get_session("s"),
    "start": lambda manager: manager.start_session("s"),
    "register": lambda manager: manager.register_agent("s", WRITER),
    "unmark": lambda manager: manager.unmark_agent_streaming("s", WRITER),
    "interrupt": lambda manager: manager.interrupt_streaming_agents("s"),
    "start new": lambda manager: manager.start_new_session("s"),
    "end": lambda manager: manager.end_session("other"),
    "sweep": lambda manager: manager.expire_old_sessions(),
    "read": lambda manager: manager.repository.find_session("s"),
    "list": lambda manager: manager.repository.list_sessions(),
}


class Role:
    """A role of its own, and a repository that connects as it."""

    def __init__(self, url: str, name: str) -> None:
        self.admin_url = url
        self.name = name
        own = make_url(url).set(username=name, password="secret")
        self.url = own.render_as_string(hide_password=False)

    async def alter(self, how: str) -> None:
        """Change the role, and end all of its connections."""
        async with connected(self.admin_url) as admin:
            await admin.execute(f"ALTER ROLE {self.name} {how}")
        await self.end_connections()

    async def end_connections(self) -> None:
        async with connected(self.admin_url) as admin:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1",
                self.name,
            )


@pytest.fixture
async def role(postgres_url: str) -> AsyncIterator[Role]:
    name = f"role_{uuid4().hex[:12]}"
    async with connected(postgres_url) as admin:
        await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
        for of in ("TABLES", "FUNCTIONS"):
            await admin.execute(f"GRANT ALL ON ALL {of} IN SCHEMA session_router TO {name}")
        await admin.execute(f"GRANT USAGE ON SCHEMA session_router TO {name}")
    role = Role(postgres_url, name)
    yield role
    await role.end_connections()
    async with connected(postgres_url) as admin:
        await admin.execute(f"DROP OWNED BY {name}")
        await admin.execute(f"DROP ROLE {name}")


@asynccontextmanager
async def managed(url: str, *, deadline_sec: float = 10) -> AsyncIterator[SessionManager]:
    repository = SQLAlchemySessionRepository.from_url(url, deadline_sec=deadline_sec)
    async with SessionManager(repository, tuning=TUNING) as manager:
        await manager.start_session("s")
        yield manager
    await repository.close()


async def fill_pool(manager: SessionManager) -> None:
    """Have the pool keep several connections."""
    await asyncio.gather(*(manager.repository.list_events(f"s{n}") for n in range(5)))


async def until_done(operation: Callable[[], Awaitable[object]]) -> None:
    async def is_done() -> bool:
        with suppress(SessionRouterError):
            await operation()
            return True
        return False

    await eventually(is_done, within=90)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, "CONNECTION LIMIT 0") for name in OPERATIONS),
        ("touch", "PASSWORD 'another'"),
        ("interrupt", "NOLOGIN"),
    ],
)
async def test_what_the_server_says_while_connecting_is_told_as_unavailable(
    role: Role, name: str, how: str
) -> None:
    async with managed(role.url) as manager:
        await role.alter(how)

        async def is_told() -> bool:
            # The first ones may still meet a connection in the moment in which it ends.
            try:
                await OPERATIONS[name](manager)
            except DatabaseUnavailableError as error:
                return error.nothing_written and "secret" not in str(error)
            return False

        await eventually(is_told)
        await role.alter("CONNECTION LIMIT -1 LOGIN PASSWORD 'secret'")
        await until_done(lambda: OPERATIONS[name](manager))


@pytest.mark.parametrize("name", OPERATIONS)
async def test_connections_that_only_read_are_let_go_of(role: Role, name: str) -> None:
    async with managed(role.url) as manager:
        await role.alter("SET default_transaction_read_only = on")
        worker_id = manager.worker_id
        for _ in range(5):  # each of them may keep a connection that only reads
            with suppress(SessionRouterError):
                await OPERATIONS[name](manager)
        async with connected(role.admin_url) as admin:
            await admin.execute(f"ALTER ROLE {role.name} RESET default_transaction_read_only")
        await until_done(lambda: OPERATIONS[name](manager))
        await until_done(lambda: manager.register_agent("s", WRITER))
        assert manager.worker_id == worker_id


async def test_a_write_that_meets_a_connection_that_only_reads_has_written_nothing(
    role: Role,
) -> None:
    async with managed(role.url) as manager:
        await role.alter("SET default_transaction_read_only = on")
        for name in ("touch", "start", "register", "interrupt", "start new"):

            async def is_told() -> bool:
                # The first ones may still meet a connection in the moment in which it ends.
                try:
                    await OPERATIONS[name](manager)  # noqa: B023 - is awaited within the loop
                except DatabaseUnavailableError as error:
                    return "read-only" in str(error) and error.nothing_written
                return False

            await eventually(is_told)
        await role.alter("RESET default_transaction_read_only")


@pytest.mark.parametrize("name", OPERATIONS)
async def test_connections_that_the_server_has_closed_cost_no_operation(
    role: Role, name: str
) -> None:
    async with managed(role.url) as manager:
        await fill_pool(manager)
        await role.end_connections()
        repository = manager.repository
        assert isinstance(repository, SQLAlchemySessionRepository)
        # Once our end has heard of it, which takes a turn of the loop or two.
        await asyncio.sleep(0.2)
        await OPERATIONS[name](manager)


async def test_a_connection_that_ends_in_the_middle_of_a_transaction_is_thrown_away(
    postgres_url: str,
) -> None:
    async with managed(postgres_url) as manager:
        repository = manager.repository
        assert isinstance(repository, SQLAlchemySessionRepository)
        end = text("SELECT pg_terminate_backend(pg_backend_pid())")
        for transact in (repository._transactions.write, repository._reserved.write):
            with pytest.raises(DatabaseUnavailableError) as refusal:
                await transact(lambda conn: conn.execute(end))
            assert refusal.value.nothing_written
            await transact(lambda conn: conn.execute(text("SELECT 1")))
        assert await manager.interrupt_streaming_agents("s") == []


async def test_a_worker_behind_a_silent_network_keeps_its_lease_and_goes_on(
    postgres_url: str,
) -> None:
    url = make_url(postgres_url)
    async with Proxy(url.port or 5432) as proxy:
        through = url.set(port=proxy.port).render_as_string(hide_password=False)
        async with managed(through, deadline_sec=5) as manager, managed(postgres_url):
            stream_id = await manager.register_agent("s", WRITER)
            await fill_pool(manager)
            worker_id = manager.worker_id
            proxy.silence()
            with suppress(DeadlineExceededError):
                await manager.get_session("s")
            # From here on every other idle connection is known to be of no use, or asked first.
            for name in ("touch", "interrupt", "read", "list"):
                await OPERATIONS[name](manager)
            await asyncio.sleep(2 * TUNING.lease_sec)  # whoever is to be reaped is by then
            assert manager.worker_id == worker_id
            assert stream_id is not None
        proxy.cut()


async def test_an_operation_that_gave_up_leaves_no_server_process_waiting(
    postgres_url: str,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url, deadline_sec=0.2)
    manager = SessionManager(repository, tuning=TUNING)
    await until_done(lambda: manager.register_agent("s", WRITER))
    async with connected(postgres_url) as other, other.transaction():
        # A lock on the table holds up even what waits for no row.
        await other.execute("LOCK TABLE session_router.sessions IN ACCESS EXCLUSIVE MODE")
        for name in ("touch", "start", "register", "interrupt", "start new", "end", "read"):
            for _ in range(3):
                with pytest.raises(DeadlineExceededError):
                    await OPERATIONS[name](manager)

        async def nobody_waits() -> bool:
            waiting = await other.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                "AND datname = current_database() AND backend_type = 'client backend'"
            )
            return bool(waiting == 0)

        await manager.shutdown()
        await eventually(nobody_waits)
    await repository.close()


@pytest.mark.parametrize("held", [5, 15, 100])
async def test_rows_that_somebody_holds_delay_only_their_own_callers(
    postgres_url: str, held: int
) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url, deadline_sec=60)
    async with SessionManager(repository, tuning=TUNING) as manager:
        ids = [f"held-{number}" for number in range(held)]
        await asyncio.gather(*(manager.start_session(each) for each in ids))
        await manager.register_agent("free", WRITER)
        async with connected(postgres_url) as other, other.transaction():
            await other.execute(
                "SELECT FROM session_router.sessions WHERE session_id LIKE 'held-%' FOR UPDATE"
            )
            waiting = [
                asyncio.create_task(call)
                for number, each in enumerate(ids)
                for call in (
                    manager.get_session(each),
                    manager.interrupt_streaming_agents(each)
                    if number % 2
                    else manager.register_agent(each, WRITER),
                )
            ]
            await asyncio.sleep(0.3)  # all of them have asked by then
            assert await manager.get_session("free") is not None
            await manager.register_agent("free", AgentId("writer", "bob"))
            await manager.register_agent("free", WRITER)
            assert len(await manager.interrupt_streaming_agents("free")) == 2
            assert await manager.end_session("free")
            assert not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)
    assert await violations(repository) == []
    await repository.close()


async def test_cancelled_callers_leave_no_more_work_than_there_are_connections(
    postgres_url: str,
) -> None:
    engine = create_async_engine(plain(postgres_url).replace("postgresql", "postgresql+asyncpg"))
    repository = SQLAlchemySessionRepository(engine)
    manager = SessionManager(repository)
    ids = [f"s{number}" for number in range(200)]
    async with connected(postgres_url) as other, other.transaction():
        await other.execute("LOCK TABLE session_router.sessions IN ACCESS EXCLUSIVE MODE")
        calls = [asyncio.create_task(manager.end_session(each)) for each in ids]
        await asyncio.sleep(0.1)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        left = [task for task in asyncio.all_tasks() if "_transact" in repr(task.get_coro())]
        assert len(left) < 15
    await repository.close()
    await engine.dispose()


SETTINGS = {
    "limits": [
        "lock_timeout = '20ms'",
        "statement_timeout = '5s'",
        "idle_in_transaction_session_timeout = '2s'",
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German, DMY'",
        "intervalstyle = 'sql_standard'",
        "bytea_output = 'escape'",
        "row_security = off",
    ],
    "strict": [
        "quote_all_identifiers = on",
        "plpgsql.extra_errors = 'all'",
        "standard_conforming_strings = off",
    ],
    "serializable": ["default_transaction_isolation = 'serializable'"],
    "repeatable read": ["default_transaction_isolation = 'repeatable read'"],
    "a hostile path": ["search_path = hostile, pg_catalog"],
}


@pytest.mark.parametrize("kind", SETTINGS)
async def test_what_a_role_has_set_for_itself_changes_nothing_of_ours(
    role: Role, kind: str
) -> None:
    async with connected(role.admin_url) as admin:
        await admin.execute("CREATE SCHEMA hostile")
        await admin.execute(
            "CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'code of somebody else runs'; END $$"
        )
        await admin.execute(f"GRANT USAGE ON SCHEMA hostile TO {role.name}")
        for setting in SETTINGS[kind]:
            await admin.execute(f"ALTER ROLE {role.name} SET {setting}")
    async with managed(role.url) as manager:
        for operation in OPERATIONS.values():
            await operation(manager)
        stream_id = await manager.register_agent("t", WRITER)
        assert await manager.interrupt_streaming_agents("t", wait=5)
        ended = [e for e in await manager.repository.list_events("t") if e.stream_id == stream_id]
        assert len(ended) == 3
        # The long way, too, in which one waits for a row.
        async with connected(role.admin_url) as other, other.transaction():
            await other.execute("SELECT FROM session_router.sessions FOR UPDATE")
            waiting = asyncio.gather(*(each(manager) for each in OPERATIONS.values()))
            await asyncio.sleep(0.2)
        await waiting
        assert await violations(manager.repository) == []


async def test_both_ends_of_a_connection_notice_soon_that_the_other_is_gone(
    postgres_url: str,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    async with repository.engine.connect() as conn:
        names = ("idle_in_transaction_session_timeout", "tcp_user_timeout", "tcp_keepalives_idle")
        shown = [(await conn.exec_driver_sql(f"SHOW {name}")).scalar_one() for name in names]
    assert shown == ["1min", "30000", "15"]
    await repository.close()
