"""The picture: lines of text, made of what was read and of what the keys have chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from session_router.cli.output import duration, escape
from session_router.cli.top.table import Column, cut, lines_of, name_column
from session_router.cli.top.view import View
from session_router.repository.records import NO_WORKER
from session_router.watch.queries import MOST
from session_router.watch.records import Overview, StreamLine, WorkerLine

KEYS: Final = "up/down choose   s stop   / filter   q leave"
_LONG_OPEN: Final = timedelta(minutes=1)
"""From when on a signal that is not settled is an alarm, as in docs/alerts.yml."""
_SHOWN_WORKERS: Final = 3
"""So many at the least, however low the terminal is."""
_BELOW: Final = 2
"""The lines below the streams: the one that is chosen, with its whole names, and what keys do."""


class Style(Enum):
    """How a line stands out."""

    PLAIN = ""
    HEADING = "heading"
    CHOSEN = "chosen"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the picture."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Away:
    """An outage of the database.

    Attributes:
        since: when it was met first, by this machine's clock.
        message: what to do about it.
    """

    since: datetime
    message: str


@dataclass(frozen=True, slots=True)
class Look:
    """How it is looked at.

    Attributes:
        database: how it is called.
        chosen: the stream that keys are about.
        below: the last line: what the keys do, a question, a receipt.
        away: None where the database answers.
    """

    database: str
    chosen: UUID | None = None
    below: str = ""
    away: Away | None = None


def picture(view: View, look: Look, width: int, height: int) -> list[Line]:
    """A terminal's lines, as many as it has, none wider than it is."""
    head = list(_head(view, look))
    workers = _workers(view, width, max(_SHOWN_WORKERS, height // 3 - 2))
    room = max(height - len(head) - len(workers) - _BELOW, 3)
    above = [*head, *workers, *_streams(view, look, width, room)][: max(height - _BELOW, 0)]
    above += [Line("")] * (height - _BELOW - len(above))
    lines = [*above, _chosen(view, look), Line(look.below)][-height:]
    return [Line(cut(line.text, width), line.style) for line in lines]


def whole_picture(view: View, look: Look, width: int | None) -> list[str]:
    """All lines there are, for what is printed once."""
    lines = [*_head(view, look), *_workers(view, width, None), *_streams(view, look, width, None)]
    return [line.text if width is None else cut(line.text, width) for line in lines]


def _head(view: View, look: Look) -> Iterator[Line]:
    counted, now = view.overview, view.page.read_at
    yield Line(f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC  {escape(look.database)}")
    expired = f" ({_count(counted.expired)} expired)" if counted.expired else ""
    yield Line(
        f"sessions {_count(counted.sessions)}{expired}   streams {_count(counted.streams)}   "
        f"workers {_count(counted.workers)}"
    )
    yield _signals(counted, now)
    owed, dead = view.deliveries.owed, view.deliveries.dead
    yield Line(
        f"hooks    {_count(owed)} owed, {_count(dead)} given up",
        Style.ALARM if dead else Style.PLAIN,
    )
    yield _trail(counted, now)
    if look.away is not None:
        since = f"No answer from the database since {look.away.since.astimezone(UTC):%H:%M:%S} UTC"
        yield Line(f"{since}; below is what was read before.", Style.ALARM)
        yield Line(escape(look.away.message), Style.ALARM)


def _signals(counted: Overview, now: datetime) -> Line:
    """The backlog of stops."""
    if counted.oldest_signal_at is None:
        return Line("signals  none open")
    age = now - counted.oldest_signal_at
    text = f"signals  {_count(counted.signals)} open, the oldest for {_age(age)}"
    return Line(text, Style.ALARM if age > _LONG_OPEN else Style.PLAIN)


def _trail(counted: Overview, now: datetime) -> Line:
    verified, style = "never verified", Style.PLAIN
    if counted.verified_at is not None:
        found = f", {counted.violations} VIOLATIONS" if counted.violations else ""
        verified = f"verified {_age(now - counted.verified_at)} ago{found}"
        style = Style.ALARM if found else Style.PLAIN
    sealed = "never sealed"
    if counted.sealed_at is not None:
        sealed = f"sealed {_age(now - counted.sealed_at)} ago"
    return Line(f"trail    {verified}; {sealed}", style)


def _workers(view: View, width: int | None, most: int | None) -> list[Line]:
    """Those that are lost first: they are to be seen, however many there are."""
    workers = sorted(view.workers, key=lambda worker: not worker.is_lost)[:most]
    lines = [Line(""), Line("WORKERS", Style.HEADING)]
    if not workers:
        return [*lines, Line("none", Style.ALARM)]
    columns = (
        name_column("host", [escape(each.host) for each in workers]),
        Column("pid", [str(each.pid) for each in workers], is_number=True),
        Column("version", [escape(each.version or "") for each in workers], rank=2),
        Column("streams", [f"{each.streams:,}" for each in workers], is_number=True),
        Column("heartbeat", [_heartbeat(each) for each in workers]),
        Column("woken by", [each.wake_ups or "" for each in workers], rank=1),
        name_column("worker", [str(each.worker_id) for each in workers], rank=3),
    )
    heading, *rows = lines_of(columns, width)
    lines[1] = Line(f"WORKERS ({_count(view.overview.workers)})", Style.HEADING)
    lines.append(Line(heading, Style.HEADING))
    for row, worker in zip(rows, workers, strict=True):
        lines.append(Line(row, Style.ALARM if worker.is_lost else Style.PLAIN))
    if others := view.overview.workers - len(workers):
        lines.append(Line(f"... and {_count(others)} more"))
    return lines


def _heartbeat(worker: WorkerLine) -> str:
    return f"{_age(worker.heartbeat_age)} ago{', LOST' if worker.is_lost else ''}"


def _streams(view: View, look: Look, width: int | None, room: int | None) -> list[Line]:
    """A heading, the columns' titles, and the rows around the one that is chosen."""
    lines = view.page.lines
    matching = f", with {escape(view.part)!r} in their names" if view.part else ""
    title = f"STREAMS, the oldest first ({_count(view.overview.streams)}){matching}"
    first = 0
    if room is not None:
        rows = max(room - 3, 1)
        first = max(_index(lines, look.chosen) - rows + 1, 0)
        lines = lines[first : first + rows]
    head = [Line(""), Line(title, Style.HEADING)]
    if not lines:
        return [*head, Line("none")]
    heading, *told = lines_of(_columns(view, lines), None if width is None else width - 2)
    shown = [*head, Line(f"  {heading}", Style.HEADING)]
    shown += [_row(text, line, look.chosen) for text, line in zip(told, lines, strict=True)]
    if room is None and view.page.behind is not None:
        shown.append(Line("... and more"))
    return shown


def _row(text: str, line: StreamLine, chosen: UUID | None) -> Line:
    if line.stream_id == chosen:
        return Line(f"> {text}", Style.CHOSEN)
    return Line(f"  {text}")


def _index(lines: Sequence[StreamLine], chosen: UUID | None) -> int:
    return next((at for at, line in enumerate(lines) if line.stream_id == chosen), 0)


def _chosen(view: View, look: Look) -> Line:
    """The chosen stream's names, which the list may have shortened."""
    line = next((line for line in view.page.lines if line.stream_id == look.chosen), None)
    if line is None:
        return Line("")
    why = f": {escape(line.stop.detail)}" if line.stop and line.stop.detail else ""
    return Line(f"> {name_of(line)}{why}", Style.HEADING)


def name_of(line: StreamLine) -> str:
    """How a stream is called."""
    return f"{escape(str(line.agent_id))} in {escape(line.session_id)}"


def _columns(view: View, lines: Sequence[StreamLine]) -> tuple[Column, ...]:
    now = view.page.read_at
    places = {each.worker_id: f"{escape(each.host)}:{each.pid}" for each in view.workers}
    places[NO_WORKER] = "none"
    return (
        name_column("session", [escape(line.session_id) for line in lines]),
        name_column("agent", [escape(str(line.agent_id)) for line in lines]),
        name_column("owner", [escape(line.owner or "") for line in lines], rank=3),
        name_column(
            "worker",
            [places.get(line.worker_id, str(line.worker_id)) for line in lines],
            rank=2,
        ),
        Column("age", [_age(_lasts(line, now)) for line in lines], is_number=True),
        Column("last touch", [_last(line, now) for line in lines], rank=1),
    )


def _lasts(line: StreamLine, now: datetime) -> timedelta:
    """How long it lasts, or lasted until it was told to stop."""
    return (now if line.stop is None else line.stop.requested_at) - line.started_at


def _last(line: StreamLine, now: datetime) -> str:
    """When its session was touched, or what became of its stop."""
    if line.stop is not None:
        waits = f"stop open for {_age(now - line.stop.requested_at)}"
        return f"stop {line.stop.outcome}" if line.stop.outcome else waits
    return "" if line.touched_at is None else f"{_age(now - line.touched_at)} ago"


def _age(length: timedelta) -> str:
    """In whole seconds, since it changes as one looks; never less than none."""
    whole = timedelta(seconds=max(int(length.total_seconds()), 0))
    return duration(whole).replace(".0 s", " s").replace("0 ms", "0 s")


def _count(number: int) -> str:
    """A count, which ends where the statements end."""
    return f"{number:,}" if number < MOST else f"{MOST:,} or more"
