"""Every line that this package logs: a stable event name, then its fields.

Gathered here so that an operator finds in one place what can be searched and alerted on.
"""

import logging
import os
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from session_router.errors import DatabaseUnavailableError, SessionRouterError, is_outage

_log: Final = logging.getLogger("session_router")
_LONGEST_TEXT: Final = 2_000
_MOST_NAMED: Final = 100
_under_way: Final[set[tuple[int, str]]] = set()
"""In which processes which outages are: a forked child knows of none."""

request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""Names the HTTP request that is being answered."""


def _line(level: int, event: str, *, trace: BaseException | None = None, **fields: object) -> None:
    if _log.isEnabledFor(level):
        told = " ".join(f"{k}={_text(v)}" for k, v in fields.items())
        as_fields = {"session_router": {"message": event, **fields}}  # see log_output.py
        _log.log(level, "%s %s", event, told, exc_info=trace, extra=as_fields)


def _text(value: object) -> str:
    """One line, one field: quoted where a space, a quote or a control character would break it."""
    text = str(value)
    plain = text.isprintable() and text and not any(c in ' "=' for c in text)
    return text if plain else ascii(text)


def worker_started(worker_id: UUID) -> None:
    _line(logging.INFO, "worker_started", worker_id=worker_id)


def worker_stopped(worker_id: UUID, streams: int, signals: int) -> None:
    _line(logging.INFO, "worker_stopped", worker_id=worker_id, streams=streams, signals=signals)


def worker_gone(worker_id: UUID) -> None:
    _line(logging.WARNING, "worker_gone", worker_id=worker_id)


def worker_lost_streams(worker_id: UUID, streams: int) -> None:
    _line(logging.WARNING, "worker_lost_streams", worker_id=worker_id, streams=streams)


class _Reaped(list[dict[str, object]]):
    """In JSON an object each; in a text as short as that."""

    def __str__(self) -> str:
        return ",".join(f"{each['worker_id']}@{each['host']}:{each['pid']}" for each in self)


def workers_reaped(workers: Sequence[tuple[UUID, str, int]], streams: int, signals: int) -> None:
    """Workers that had fallen silent, as their ids, hosts and process ids: 100 are named."""
    named = _Reaped(
        {"worker_id": worker_id, "host": host, "pid": pid}
        for worker_id, host, pid in workers[:_MOST_NAMED]
    )
    _line(
        logging.WARNING,
        "workers_reaped",
        workers=len(workers),
        streams=streams,
        signals=signals,
        reaped=named,
    )


def hook_failed(
    hook_id: str, delivery_id: int, attempts: int, error: Exception, pause: timedelta | None
) -> None:
    """An attempt to tell a hook; without a pause it was the last one."""
    _line(
        logging.WARNING if pause is not None else logging.ERROR,
        "hook_failed" if pause is not None else "hook_gave_up",
        hook_id=hook_id,
        delivery_id=delivery_id,
        attempts=attempts,
        error=error,
        again_in_sec=None if pause is None else pause.total_seconds(),
    )


def wake_ups_changed(mode: str, reason: str | None, *, passes: bool = True) -> None:
    """How a worker learns of its signals; `passes`: nobody need do anything about it."""
    level = logging.INFO if passes else logging.WARNING
    _line(level, "wake_ups_changed", mode=mode, reason=reason)


def outage_began(of: str, job: str, error: Exception) -> None:
    _under_way.add((os.getpid(), of))
    _line(logging.ERROR, "outage_began", of=of, job=job, error=explain(error))


def outage_lasts(of: str, for_sec: float, failures: int, error: Exception) -> None:
    lasts, told = round(for_sec, 1), explain(error)
    _line(logging.ERROR, "outage_lasts", of=of, for_sec=lasts, failures=failures, error=told)


def outage_ended(of: str, after_sec: float, failures: int) -> None:
    """At the level of a warning, so that whoever was told of its beginning is told of its end."""
    outage_left(of)
    lasted = round(after_sec, 1)
    _line(logging.WARNING, "outage_ended", of=of, after_sec=lasted, failures=failures)


def outage_left(of: str) -> None:
    """Nobody looks any more whether it goes on: nothing to tell."""
    _under_way.discard((os.getpid(), of))


def shutdown_incomplete(worker_id: UUID, error: Exception) -> None:
    _line(
        logging.ERROR,
        "shutdown_incomplete",
        trace=_bug(error),
        worker_id=worker_id,
        reason=explain(error),
    )


def job_failed(job: str, error: Exception, retry_in: float) -> None:
    _line(
        logging.DEBUG if is_outage(error) else logging.ERROR,
        "job_failed",
        trace=_bug(error),
        job=job,
        error=explain(error),
        retry_in_sec=round(retry_in, 1),
    )


def job_recovered(job: str) -> None:
    _line(logging.INFO, "job_recovered", job=job)


def migration_waits(holders: str, retry_in: float) -> None:
    _line(logging.WARNING, "migration_waits", in_its_way=holders, retry_in_sec=round(retry_in, 1))


def trail_sealed(events: int, until: int) -> None:
    _line(logging.INFO, "trail_sealed", events=events, until=until)


def sweep_finished(sessions: int, streams: int) -> None:
    _line(logging.INFO, "sweep_finished", sessions=sessions, streams=streams)


def signal_settled(
    stream_id: UUID, session_id: str, agent_id: object, outcome: str, detail: str | None
) -> None:
    level = logging.INFO if outcome == "delivered" else logging.WARNING
    _line(
        level,
        "signal_settled",
        outcome=outcome,
        session_id=session_id,
        agent_id=agent_id,
        stream_id=stream_id,
        detail=detail,
    )


@lru_cache(maxsize=1_000)
def row_unreadable(fault: str) -> None:
    """Once for each fault, for the row is met again at every poll."""
    _line(logging.WARNING, "row_unreadable", fault=fault)


def settle_failed(signals: int, error: BaseException) -> None:
    _line(
        _beside_outages(error),
        "settle_failed",
        trace=_bug(error),
        signals=signals,
        error=explain(error),
    )


def stream_unregister_failed(stream_id: UUID, error: BaseException, retry_in: float) -> None:
    _line(
        _beside_outages(error),
        "stream_unregister_failed",
        trace=_bug(error),
        stream_id=stream_id,
        error=explain(error),
        retry_in_sec=round(retry_in, 1),
    )


def stream_touch_failed(stream_id: UUID, error: BaseException) -> None:
    _line(
        _beside_outages(error),
        "stream_touch_failed",
        trace=_bug(error),
        stream_id=stream_id,
        error=explain(error),
    )


def source_close_failed(stream_id: UUID, fault: str) -> None:
    _line(logging.WARNING, "source_close_failed", stream_id=stream_id, error=fault)


def reconcile_failed(error: BaseException) -> None:
    _line(logging.WARNING, "reconcile_failed", trace=_bug(error), error=explain(error))


def abandoned_operation_failed(error: BaseException) -> None:
    level = _beside_outages(error)
    _line(level, "abandoned_operation_failed", trace=_bug(error), error=explain(error))


def request_failed(method: str, path: str, status: int, error: BaseException) -> None:
    _line(
        logging.INFO if _is_told_already(error) else logging.WARNING,
        "request_failed",
        method=method,
        path=path,
        status=status,
        error=explain(error),
        **_of_request(),
    )


def request_crashed(method: str, path: str, error: Exception) -> None:
    _line(
        logging.ERROR,
        "request_crashed",
        trace=error,
        method=method,
        path=path,
        error=explain(error),
        **_of_request(),
    )


def serving_stops(drain_sec: float) -> None:
    _line(logging.INFO, "serving_stops", drain_sec=drain_sec)


def process_ended(pid: int, code: int, restart_in: float) -> None:
    _line(logging.ERROR, "process_ended", pid=pid, code=code, restart_in_sec=round(restart_in, 1))


def process_failed(error: BaseException) -> None:
    _line(logging.ERROR, "process_failed", trace=_bug(error), error=explain(error))


def connections_full(limit: int) -> None:
    _line(logging.WARNING, "connections_full", limit=limit)


def background_failed(error: Exception) -> None:
    _line(logging.ERROR, "background_failed", trace=error, error=explain(error))


def _beside_outages(error: BaseException) -> int:
    """The level of a line that warns of an error, unless that is told of by `outages.py`."""
    return logging.DEBUG if _is_told_already(error) else logging.WARNING


def _is_told_already(error: BaseException) -> bool:
    """Who is too slow may be so alone; a database that is away is met by the loops as well."""
    if isinstance(error, DatabaseUnavailableError):
        return True
    return is_outage(error) and any(pid == os.getpid() for pid, _ in _under_way)


def _of_request() -> dict[str, Any]:
    named = request_id.get()
    return {} if named is None else {"request_id": named}


def _bug(error: BaseException) -> Exception | None:
    """An error whose traceback is needed to mend it: a database that is away needs none."""
    is_expected = isinstance(error, SessionRouterError | OSError)
    return error if isinstance(error, Exception) and not is_expected else None


def explain(error: BaseException) -> str:
    """An error as one line: its class and the first 2,000 characters of what it says.

    It raises nothing, whatever an error of foreign code does when it is asked for its text.
    """
    name = type(error).__name__
    try:
        said = " ".join(str(error)[:_LONGEST_TEXT].split())
    except Exception as fault:  # as of SDKs' errors that look into a response that nobody read
        said = f"(no text: that raised {type(fault).__name__})"
    return f"{name}: {said}" if said else name
