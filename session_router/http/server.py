"""The composition root of the HTTP service: `serve` runs it until it is told to stop."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address

from fastapi import FastAPI

from session_router import logs
from session_router.access import Keys
from session_router.access.callers import Callers
from session_router.bootstrap import manager_of, repository_of
from session_router.database import migrate
from session_router.errors import SchemaError, ServeError
from session_router.http.app import create_app
from session_router.http.origins import Hosts
from session_router.http.serving import serving
from session_router.http.sockets import listening_sockets, url_of
from session_router.http.stopping import Stopping
from session_router.manager import SessionManager
from session_router.repository import SQLAlchemySessionRepository
from session_router.settings import DEFAULT_DATABASE_URL, Settings

Background = Callable[[SessionManager], Awaitable[None]]


async def serve(settings: Settings, *, background: Sequence[Background] = ()) -> None:
    """Serve until SIGTERM or SIGINT; prints the address when it listens. In the main thread only.

    After SIGTERM `/readyz` says 503 for `drain_sec` while all else goes on, then no more requests
    are accepted; those under way have `shutdown_timeout_sec`. After SIGINT there is no drain
    period. A second signal ends the process at once.

    Args:
        settings: which database, which address, and every interval and limit.
        background: what to run besides, each with the manager; cancelled before that shuts down.

    Raises:
        ServeError: the address is not to be had, or others can reach it and there is no key.
        SchemaError: the database's tables are not this version's; the embedded default's are
            made so.
        DatabaseError: the database cannot be reached.
        InvalidValueError: the database URL is wrong, or a host that is allowed is no name.
    """
    stopping = Stopping(settings.drain_sec)
    with listening_sockets(settings.http_host, settings.http_port) as sockets:
        hosts = _hosts(settings, sockets)
        await _prepare_database(settings)
        with stopping.on_order():
            async with _repository(settings) as repository:
                keys = Keys(repository.engine, schema=settings.database_schema)
                await _refuse_to_be_open(keys, sockets)
                async with (
                    manager_of(settings, repository) as manager,
                    _running(background, manager, settings.cancel_timeout_sec),
                ):
                    app = create_app(
                        manager,
                        is_draining=stopping.has_begun,
                        hosts=hosts,
                        callers=Callers(keys, settings.operation_deadline_sec),
                    )
                    await _serve_until_told(app, sockets, stopping, settings)


def _hosts(settings: Settings, sockets: list[socket.socket]) -> Hosts:
    return Hosts.of(settings.http_allowed_hosts, settings.http_host, _addresses(sockets))


def _addresses(sockets: list[socket.socket]) -> list[str]:
    return [str(listener.getsockname()[0]) for listener in sockets]


async def _refuse_to_be_open(keys: Keys, sockets: list[socket.socket]) -> None:
    """Beyond this machine, no key at all would mean that anybody may stop and end."""
    beyond = [each for each in _addresses(sockets) if not ip_address(each).is_loopback]
    if beyond and not await keys.are_there():
        raise ServeError(
            f"{beyond[0]} can be reached from other machines, and no key was made yet, so anybody "
            "could stop agents and end sessions: make one by 'session-router keys create NAME "
            "--scope operate', or listen on 127.0.0.1."
        )


async def _prepare_database(settings: Settings) -> None:
    target = migrate.Target(settings.database_url.get_secret_value(), settings.database_schema)
    if target.url == DEFAULT_DATABASE_URL:
        await migrate.upgrade(target)
    if faults := await migrate.check(target):
        raise SchemaError(
            f"the database is not fit to be served: {' '.join(faults)} "
            "'session-router db upgrade' brings a database up to date, "
            "'session-router db check' shows what is still different."
        )


@asynccontextmanager
async def _repository(settings: Settings) -> AsyncIterator[SQLAlchemySessionRepository]:
    repository = repository_of(settings)
    try:
        yield repository
    finally:
        await repository.close()


@asynccontextmanager
async def _running(
    background: Sequence[Background], manager: SessionManager, limit_sec: float
) -> AsyncIterator[None]:
    """Run what is to run besides, until the block ends."""
    tasks = [asyncio.create_task(_reported(work, manager)) for work in background]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=limit_sec)


async def _reported(work: Background, manager: SessionManager) -> None:
    """What fails in the background is for the log; the service goes on."""
    try:
        await work(manager)
    except Exception as error:
        logs.background_failed(error)


async def _serve_until_told(
    app: FastAPI, sockets: list[socket.socket], stopping: Stopping, settings: Settings
) -> None:
    async with serving(app, sockets, end_within_sec=settings.shutdown_timeout_sec) as served:
        told = asyncio.create_task(stopping.due())
        sys.stdout.write(f"Serving on {url_of(sockets[0])} (its API: {url_of(sockets[0])}/docs)\n")
        sys.stdout.flush()
        try:
            await asyncio.wait({served, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            app.state.remote_workers.close()
