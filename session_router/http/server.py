"""The composition root of the HTTP service: `serve` runs it until it is told to stop."""

import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from ipaddress import ip_address
from typing import Final

import uvloop
from fastapi import FastAPI

from session_router import logs
from session_router.access import Keys
from session_router.access.callers import Callers
from session_router.audit.trail import Trail
from session_router.bootstrap import audit_keys_of, manager_of, repository_of
from session_router.database import migrate
from session_router.errors import SchemaError, ServeError
from session_router.hooks import Hooks
from session_router.http.app import create_app
from session_router.http.metrics import measured
from session_router.http.origins import Hosts
from session_router.http.processes import Processes
from session_router.http.serving import serving
from session_router.http.sockets import kept_addresses, listening_beside, listening_sockets, url_of
from session_router.http.stopping import SERVING, Stopping
from session_router.manager import SessionManager
from session_router.repository import SQLAlchemySessionRepository
from session_router.sealing import sealing
from session_router.settings import DEFAULT_DATABASE_URL, Settings
from session_router.telemetry.board import Board, Place
from session_router.telemetry.choice import kind_of_manager

_UNCOLLECTED: Final = 20_000
"""So many more objects made than gone let the garbage collector look at the youngest."""

Background = Callable[[SessionManager], Awaitable[None]]


def run(settings: Settings, *, background: Sequence[Background] = ()) -> None:
    """Do as `serve` does, in as many processes as `http_workers` says, each on a uvloop of its own.

    One that ends before it is told to is started anew; `background` runs in one of them. If the
    program is killed, all of them end.

    Raises:
        ServeError: as `serve`, or a process did not end as it should have.
        SessionRouterError: as `serve`.
    """
    if settings.http_workers == 1:
        uvloop.run(serve(settings, background=background))
        return
    with kept_addresses(settings.http_host, settings.http_port) as kept:
        asyncio.run(_prepare(settings, kept))
        board = Board(settings.http_workers)

        def serve_here(number: int, line: socket.socket) -> None:
            stopping = Stopping(settings.drain_sec, line)
            with listening_beside(kept) as sockets:
                place = Place(board, number)
                served = _Served(settings, sockets, partial(line.sendall, SERVING), place)
                uvloop.run(_serve_until_told(served, stopping, () if number else background))

        Processes(settings.http_workers, serve_here, partial(_tell, kept)).run()


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
    with listening_sockets(settings.http_host, settings.http_port) as sockets:
        await _prepare(settings, sockets)
        served = _Served(settings, sockets, partial(_tell, sockets))
        await _serve_until_told(served, Stopping(settings.drain_sec), background)


def _collect_seldom() -> None:
    """Have the garbage collector look at what requests leave, and seldom.

    What is there by now stays; and requests leave hardly any cycles, of which alone it rids us.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_UNCOLLECTED)


@dataclass(frozen=True)
class _Served:
    """What is served, where, what is done when it is, and which of several processes serves it."""

    settings: Settings
    sockets: list[socket.socket]
    on_serving: Callable[[], object]
    place: Place | None = None


async def _prepare(settings: Settings, sockets: list[socket.socket]) -> None:
    """See to it that what is to be served can and may be."""
    _hosts(settings, sockets)
    await _prepare_database(settings)
    await _refuse_to_be_open(settings, sockets)


async def _serve_until_told(
    served: _Served, stopping: Stopping, background: Sequence[Background]
) -> None:
    settings = served.settings
    with stopping.on_order():
        async with (
            _repository(settings) as repository,
            manager_of(settings, repository, kind_of_manager()) as manager,
            measured(manager, served.place) as metrics,
            _running(background, manager, settings.cancel_timeout_sec),
            Hooks(repository.engine, schema=settings.database_schema),
            _sealing(settings, repository),
        ):
            keys = Keys(repository.engine, schema=settings.database_schema)
            app = create_app(
                manager,
                is_draining=stopping.has_begun,
                hosts=_hosts(settings, served.sockets),
                callers=Callers(keys, settings.operation_deadline_sec),
                metrics=metrics,
            )
            _collect_seldom()
            await _answer(app, served, stopping)


def _sealing(
    settings: Settings, repository: SQLAlchemySessionRepository
) -> AbstractAsyncContextManager[None]:
    if settings.seal_interval_sec is None:
        return nullcontext()
    trail = Trail(repository.engine, schema=settings.database_schema)
    every = timedelta(seconds=settings.seal_interval_sec)
    keys = audit_keys_of(settings)
    keys.signer()  # refuses at once where there is none
    return sealing(trail, keys, every)


def _hosts(settings: Settings, sockets: list[socket.socket]) -> Hosts:
    return Hosts.of(settings.http_allowed_hosts, settings.http_host, _addresses(sockets))


def _addresses(sockets: list[socket.socket]) -> list[str]:
    return [str(listener.getsockname()[0]) for listener in sockets]


async def _refuse_to_be_open(settings: Settings, sockets: list[socket.socket]) -> None:
    """Beyond this machine, no key at all would mean that anybody may stop and end."""
    beyond = [each for each in _addresses(sockets) if not ip_address(each).is_loopback]
    url = settings.database_url.get_secret_value()
    if not beyond:
        return
    async with Keys.opened(url, schema=settings.database_schema) as keys:
        are_there = await keys.are_there()
    if not are_there:
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


async def _answer(app: FastAPI, served: _Served, stopping: Stopping) -> None:
    limit_sec = served.settings.shutdown_timeout_sec
    async with serving(app, served.sockets, end_within_sec=limit_sec) as answering:
        told = asyncio.create_task(stopping.due())
        served.on_serving()
        try:
            await asyncio.wait({answering, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            app.state.remote_workers.close()


def _tell(sockets: list[socket.socket]) -> None:
    url = url_of(sockets[0])
    sys.stdout.write(f"Serving on {url} (to see and to stop: {url}/console; its API: {url}/docs)\n")
    sys.stdout.flush()
