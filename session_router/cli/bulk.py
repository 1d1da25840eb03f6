"""Interrupting what matches anywhere: asked for, carried out with a bar, and counted in the end."""

import asyncio
from dataclasses import asdict
from typing import Final

import typer

from session_router import SessionManager
from session_router.cli import output
from session_router.cli.connection import opened_manager
from session_router.repository.changes import StreamFilter
from session_router.repository.results import BulkInterrupt, Receipts
from session_router.settings import Settings

_FIRST_PAUSE_SEC: Final = 0.05
_LONGEST_PAUSE_SEC: Final = 1.0
_NAMED: Final = 20


async def interrupt_all(
    settings: Settings,
    matching: StreamFilter,
    *,
    actor: str | None,
    reason: str | None,
    wait_sec: float,
    dry_run: bool,
    is_sure: bool,
    as_json: bool,
) -> None:
    """Stop what is meant, unless it is only to be counted, or somebody has second thoughts."""
    chosen = asdict(matching)
    async with opened_manager(settings) as manager:
        counted = await manager.interrupt_all(**chosen, dry_run=True)
        if dry_run:
            _show_count(counted, as_json)
            return
        if not is_sure:
            if not counted.streams:
                output.say("no stream matches")
                return
            typer.confirm(f"Stop {_told(counted)}?", abort=True, err=True)
        with output.progress() as progress:
            done = await manager.interrupt_all(
                **chosen,
                actor=actor,
                reason=reason,
                progress=lambda done: progress("stopping", _share(done.streams, counted.streams)),
            )
        found = await _settled(manager, done, wait_sec)
    _show(done, found, as_json)


async def _settled(
    manager: SessionManager, done: BulkInterrupt, wait_sec: float
) -> Receipts | None:
    """The receipts, when none is open any more, or the time is over; None: nothing was stopped."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + wait_sec, _FIRST_PAUSE_SEC
    with output.progress() as progress:
        while True:
            found = await manager.receipts(done.request_id)
            settled = found.delivered + found.failed + found.lost if found is not None else 0
            progress("receipts", _share(settled, done.streams))
            left = deadline - loop.time()
            if found is None or not found.open or left <= 0:
                return found
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_PAUSE_SEC)


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole else 1.0


def _show_count(counted: BulkInterrupt, as_json: bool) -> None:
    if as_json:
        counts = {"sessions": counted.sessions, "streams": counted.streams}
        output.show_json(counts | {"dry_run": True})
    else:
        output.say(f"would stop {_told(counted)}")


def _show(done: BulkInterrupt, found: Receipts | None, as_json: bool) -> None:
    counts = _counts(found)
    if as_json:
        output.show_json(
            {
                "request_id": str(done.request_id),
                "sessions": done.sessions,
                "streams": done.streams,
                "dry_run": False,
                **counts,
            }
        )
        return
    output.say(f"told {_told(done)} to stop")
    if found is None:
        return
    output.say(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    if found.undelivered:
        output.say("")
        output.show_rows(
            ("session", "agent", "signal", "why"),
            (
                (one.session_id, str(one.agent_id), one.outcome, one.detail or "")
                for one in found.undelivered[:_NAMED]
            ),
            flexible=("session", "agent", "why"),
        )
        if (more := found.failed + found.lost - _NAMED) > 0:
            output.note(f"and {more:,} more; the trail has them under {found.request_id}")


def _counts(found: Receipts | None) -> dict[str, int]:
    names = ("delivered", "failed", "lost", "open")
    return {name: 0 if found is None else getattr(found, name) for name in names}


def _told(counted: BulkInterrupt) -> str:
    streams = "stream" if counted.streams == 1 else "streams"
    sessions = "session" if counted.sessions == 1 else "sessions"
    return f"{counted.streams:,} {streams} in {counted.sessions:,} {sessions}"
