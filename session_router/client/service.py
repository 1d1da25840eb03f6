"""The service as a client asks it: one request, and its answer or one of this package's errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import httpx

from session_router.client.answers import Problem
from session_router.errors import (
    DatabaseUnavailableError,
    DeadlineExceededError,
    InvalidValueError,
    OverloadedError,
)
from session_router.logs import explain
from session_router.per_loop import PerLoop
from session_router.settings import check_positive
from session_router.worker.supervisor import retry_pause

_CONNECT_SEC: Final = 3.0
_LONGEST_PAUSE_SEC: Final = 2.0
# The service closes a connection that is idle for 5 s: to use one then would be a race.
_IDLE_SEC: Final = 4.0
_PASSING: Final = (502, 503, 504)
_SILENCE_SEC: Final = 25.0
"""Of a stream of events that sends something every 10 s."""

CALLS: Final = httpx.Limits(
    max_connections=50, max_keepalive_connections=50, keepalive_expiry=_IDLE_SEC
)
OWN: Final = httpx.Limits(max_connections=10, max_keepalive_connections=5, keepalive_expiry=None)
"""What a worker lives by: heartbeats, signals, settlements."""


class _Pools:
    """The connections of one event loop; those that wait for receipts hold up no heartbeat."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._open: dict[bool, httpx.AsyncClient] = {}

    def of(self, *, own: bool) -> httpx.AsyncClient:
        if own not in self._open:
            self._open[own] = httpx.AsyncClient(
                base_url=self._url, headers=self._headers, limits=OWN if own else CALLS
            )
        return self._open[own]

    async def close(self) -> None:
        clients, self._open = list(self._open.values()), {}
        for client in clients:
            await client.aclose()


class Service:
    """Asks a service.

    A request that certainly did nothing is sent again, until the deadline: where no connection was
    had, or the service was overloaded. One that may have happened is sent again only where that
    makes no difference.

    Args:
        url: of the service, `http` or `https`, with the path that it is mounted at, if any.
        key: what `session-router keys create` printed; None where the service asks for none.
        deadline_sec: how long an operation may take, retries included.

    Raises:
        InvalidValueError: the URL or the key is none.
        InvalidSettingError: the deadline is out of its range.
    """

    def __init__(self, url: str, key: str | None, deadline_sec: float) -> None:
        self.url = _checked_url(url)
        self.deadline_sec = check_positive(deadline_sec, "deadline_sec")
        checked = _checked_key(key)
        # Connections of a loop that is over, or of the parent process, are left to the collector.
        self._pools = PerLoop(lambda: _Pools(self.url, checked), lambda pools: pools, "client")

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: dict[str, Any] | None = None,
        session_id: str = "",
        stream_id: UUID | None = None,
        missing: str = "",
        repeatable: bool = False,
        own: bool = False,
        wait_sec: float = 0.0,
        request_id: UUID | None = None,
    ) -> httpx.Response | None:
        """Send a request until it is answered, or the deadline is over.

        Args:
            path: percent-encoded; see `path_of`.
            session_id, stream_id: what an error is about.
            missing: the problem that says that what was asked for is not there.
            repeatable: whether it makes no difference that the request happens twice.
            own: whether the worker lives by it, so that it has connections apart.
            wait_sec: how long the service was asked to wait, which comes on top of the deadline.
            request_id: the name that the caller gave it, under which it is done once.

        Returns:
            The answer; None where the problem is `missing`.

        Raises:
            DatabaseUnavailableError, OverloadedError, ContentionError: the service, or its
                database, is away or too busy.
            DeadlineExceededError: no answer in time.
            KeyRefusedError: the service does not take this key.
        """
        client = self._pools.get().of(own=own)
        headers = {} if request_id is None else {"Idempotency-Key": f'"{request_id}"'}
        request = client.build_request(method, path, json=body, params=query, headers=headers)
        repeatable = repeatable or request_id is not None
        limit, clock = self.deadline_sec + wait_sec, asyncio.get_running_loop().time
        until, failures = clock() + limit, 0
        while True:
            request.extensions["timeout"] = _limits(until - clock()).as_dict()
            got = await self._send(client, request, until, limit)
            if isinstance(got, httpx.Response):
                if got.is_success:
                    return got
                problem = Problem.of(got)
                if missing and problem.name == missing:
                    return None
                fault: Exception = problem.error(self.url, session_id, stream_id)
                did_nothing = problem.nothing_written
                may_repeat = did_nothing or (repeatable and got.status_code in _PASSING)
                pause = _retry_after(got)
            else:
                fault, may_repeat, pause = got, repeatable or got.nothing_written, None
            failures += 1
            pause = pause or retry_pause(failures, _LONGEST_PAUSE_SEC)
            if not may_repeat or clock() + pause >= until:
                raise fault
            await asyncio.sleep(pause)

    async def must(self, method: str, path: str, **asked: Any) -> httpx.Response:
        """The same, where nothing may be missing."""
        answer = await self.ask(method, path, **asked)
        assert answer is not None
        return answer

    async def _send(
        self, client: httpx.AsyncClient, request: httpx.Request, until: float, limit_sec: float
    ) -> httpx.Response | DatabaseUnavailableError:
        """Send it once; returns the answer, or what became of the connection."""
        try:
            async with asyncio.timeout_at(until):
                return await client.send(request)
        except TimeoutError:
            raise self._too_slow(limit_sec) from None
        except httpx.PoolTimeout:
            raise self._too_many() from None
        except httpx.TransportError as error:
            nothing_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            return self.away(error, nothing_written=nothing_sent)

    @asynccontextmanager
    async def events(self, path: str) -> AsyncIterator[AsyncIterator[str]]:
        """Open a stream of events; gives its lines, and raises where it falls silent.

        Raises:
            DatabaseUnavailableError: the service is away, or the connection was lost.
            WorkerGoneError, KeyRefusedError: it does not answer this worker.
        """
        client = self._pools.get().of(own=True)
        limits = httpx.Timeout(_CONNECT_SEC, read=_SILENCE_SEC)
        headers = {"Accept": "text/event-stream"}
        try:
            async with client.stream("GET", path, headers=headers, timeout=limits) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise Problem.of(answer).error(self.url, "", None)
                yield answer.aiter_lines()
        except httpx.TransportError as error:
            raise self.away(error, nothing_written=True) from error

    def away(self, error: Exception, *, nothing_written: bool) -> DatabaseUnavailableError:
        """The error of a service that cannot be reached."""
        told = "nothing was sent" if nothing_written else "whether it happened is unknown"
        return DatabaseUnavailableError(
            f"the service at {self.url} cannot be reached ({explain(error)}); {told}. "
            "Try again, or see that it runs.",
            nothing_written=nothing_written,
        )

    async def close(self) -> None:
        """Close the connections; the next request opens others."""
        await self._pools.get().close()

    def _too_slow(self, limit_sec: float) -> DeadlineExceededError:
        return DeadlineExceededError(
            f"the service at {self.url} did not answer within {limit_sec:g} s; whether the "
            "operation happened is unknown. Look before you repeat it, or raise deadline_sec."
        )

    def _too_many(self) -> OverloadedError:
        return OverloadedError(
            f"all {CALLS.max_connections} connections to the service at {self.url} are busy; "
            "nothing was sent. Ask for less at a time."
        )


def path_of(*segments: object) -> str:
    """The path of these segments, each percent-encoded: an id may contain slashes, or be dots."""
    return "".join("/" + quote(str(each), safe="").replace(".", "%2E") for each in segments)


def _limits(left_sec: float) -> httpx.Timeout:
    """What an answer may take is bounded by the deadline; a connection is to be had before it."""
    return httpx.Timeout(None, connect=min(_CONNECT_SEC, left_sec / 2), pool=left_sec / 2)


def _retry_after(answer: httpx.Response) -> float | None:
    told = answer.headers.get("retry-after", "")
    return float(told) if told.isdecimal() else None


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise InvalidValueError(f"the service's URL is none; {_URL_HINT}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise InvalidValueError(f"the service's URL has no host, or another scheme; {_URL_HINT}")
    return str(parsed.copy_with(query=None, fragment=None)).rstrip("/")


def _checked_key(key: str | None) -> str | None:
    """What cannot stand in a header is refused, without showing it."""
    if key is not None and not (key.isascii() and key.isprintable() and key and " " not in key):
        raise InvalidValueError(
            "the key is none: give it as 'session-router keys create' printed it, such as "
            "sr_3636ac3601c1_..., without spaces and line ends."
        )
    return key


_URL_HINT: Final = "give one such as http://127.0.0.1:8080 or https://router.example.com."
