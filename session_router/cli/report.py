"""`session-router report`: what happened, counted and measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from session_router.cli import output, picture
from session_router.cli.connection import opened_reports
from session_router.cli.near import near, one_of
from session_router.cli.options import DatabaseUrl, Invocation, Json, settings_of
from session_router.cli.report_cells import cells_of
from session_router.cli.stream_filter import (
    Agent,
    InSession,
    Live,
    Outcome,
    check_report,
    stream_filter,
)
from session_router.cli.words import REPORT_FORMATS, REPORT_NAMES, completed
from session_router.csv_cells import text_cell
from session_router.errors import InvalidValueError

if TYPE_CHECKING:
    from session_router.reports import Bounds, Reports
    from session_router.reports.filters import StreamFilter
    from session_router.reports.rows import ReportRow
    from session_router.settings import Settings

_PAGE: Final = 1_000
_NAMES: Final = (
    *("session_id", "agent_key", "actor", "reason", "detail", "owner", "worker_host", "outcomes"),
)
"""The columns that a table narrows first."""


def _remember_json(ctx: typer.Context, chosen: str) -> str:
    if chosen == "json":
        ctx.ensure_object(Invocation).as_json = True
    return chosen


_TIME: Final = "a date or time (UTC, unless it says otherwise), or so long ago: 90s, 30m, 24h, 7d"


def report(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help=f"One of {', '.join(REPORT_NAMES)}.",
            show_default=False,
            autocompletion=completed(REPORT_NAMES),
        ),
    ],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help=f"Leave out what was earlier: {_TIME}. It bounds the time at which a session or "
            "stream began, an interrupt was requested, and so on.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Leave out what was then or later; written alike.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar=f"[{'|'.join(REPORT_FORMATS)}]",
            autocompletion=completed(REPORT_FORMATS),
            callback=_remember_json,
            help="csv and json have every column, times in UTC, lengths in seconds; json, which "
            "is --json, is one document a line.",
        ),
    ] = "table",
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many rows, the earliest.", show_default=False),
    ] = None,
    newest: Annotated[
        int | None,
        typer.Option(
            min=1, help="The latest so many rows, the last one first.", show_default=False
        ),
    ] = None,
    outcome: Outcome = None,
    agent: Agent = None,
    session: InSession = None,
    live: Live = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw a picture instead, into FILE.png or FILE.svg: "
            f"{', '.join(picture.PICTURES)}. Needs the extra 'plot'.",
            show_default=False,
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Report what happened.

    The reports but for 'concurrency' are views in the database, named report_NAME.
    'concurrency' tells how many streams there were at once; left out, --since is a day before
    --until there. 'live' and 'backlog' are of this moment.
    """
    if name not in REPORT_NAMES:
        raise InvalidValueError(
            f"there is no report {name!a}; choose one of {', '.join(REPORT_NAMES)}."
            f"{near(name, REPORT_NAMES)}"
        )
    one_of(REPORT_FORMATS, format_, "--format")
    if as_json and format_ == "csv":
        raise InvalidValueError("--json is for --format json; leave out --format csv, or --json.")

    from session_router.reports import REPORTS, Bounds
    from session_router.reports.bounds import parse_moment

    bounds = Bounds(
        None if since is None else parse_moment(since, "--since"),
        None if until is None else parse_moment(until, "--until"),
    )
    bounds.at(datetime.now(UTC))
    if name in REPORTS:
        REPORTS[name].check(bounds)
    of = stream_filter(outcome, agent, session, live=live)
    check_report(name, of)
    if newest is not None:
        _check_newest(name, limit, plot)
    chosen = _Chosen(name, bounds, limit, newest, of)
    settings = settings_of(database_url)
    if plot is not None:
        asyncio.run(_plot(settings, chosen, picture.checked(name, plot), picture.drawing()))
    else:
        asyncio.run(_print(settings, chosen, "json" if as_json else format_))


@dataclass(frozen=True)
class _Chosen:
    """Which report, and which rows of it."""

    name: str
    bounds: Bounds
    limit: int | None
    newest: int | None
    of: StreamFilter


def _check_newest(name: str, limit: int | None, plot: Path | None) -> None:
    from session_router.reports import REPORTS

    if name not in REPORTS or REPORTS[name].time is None:
        raise InvalidValueError(f"no row of the report {name!a} is newest; leave out --newest.")
    if limit is not None or plot is not None:
        raise InvalidValueError("--newest is instead of --limit and --plot; leave one of them out.")


async def _print(settings: Settings, chosen: _Chosen, format_: str) -> None:
    from session_router.reports import REPORTS
    from session_router.reports.rows import ConcurrencyBucket

    name = chosen.name
    kind = REPORTS[name].row if name in REPORTS else ConcurrencyBucket
    columns = list(kind.model_fields)
    async with opened_reports(settings) as reports:
        pages = _pages(_rows(reports, chosen))
        if format_ == "csv":
            output.show_exactly(",".join(columns))
            if name in REPORTS and await _copied(reports, chosen):
                return
            async for page in pages:
                for row in page:
                    output.show_exactly(_csv_line(row))
        elif format_ == "json":
            async for page in pages:
                for row in page:
                    output.show_json(row.model_dump(mode="json"))
        else:
            await _show(pages)


async def _copied(reports: Reports, chosen: _Chosen) -> bool:
    """Whether the database made the lines."""
    from session_router.reports import REPORTS

    return await reports.copy(
        REPORTS[chosen.name],
        chosen.bounds,
        _out,
        limit=chosen.limit,
        newest=chosen.newest,
        of=chosen.of,
    )


async def _out(lines: bytes) -> None:
    output.show_bytes(lines)


def _csv_line(row: ReportRow) -> str:
    texts = {name: text_cell(value) for name, value in row if isinstance(value, str)}
    told = row.model_dump(mode="json") | texts
    return ",".join("" if value is None else str(value) for value in told.values())


async def _show(pages: AsyncIterator[list[ReportRow]]) -> None:
    """As a table, which leaves out the ids that are for machines."""
    is_first = True
    async for page in pages:
        shown = [cells_of(row) for row in page]
        output.show_rows(
            list(shown[0]),
            (list(cells.values()) for cells in shown),
            header=is_first,
            flexible=_NAMES,
        )
        is_first = False
    if is_first:
        output.note("nothing to report")


def _rows(reports: Reports, chosen: _Chosen) -> AsyncIterator[ReportRow]:
    from session_router.reports import REPORTS

    if chosen.name not in REPORTS:
        return _buckets(reports, chosen.bounds, chosen.limit)
    report = REPORTS[chosen.name]
    return reports.read(
        report, chosen.bounds, limit=chosen.limit, newest=chosen.newest, of=chosen.of
    )


async def _buckets(reports: Reports, bounds: Bounds, limit: int | None) -> AsyncIterator[ReportRow]:
    for bucket in (await reports.concurrency(bounds))[:limit]:
        yield bucket


async def _pages(rows: AsyncIterator[ReportRow]) -> AsyncIterator[list[ReportRow]]:
    page = []
    async for row in rows:
        page.append(row)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


async def _plot(settings: Settings, chosen: _Chosen, path: Path, draw: picture.Draw) -> None:
    from session_router.reports import REPORTS

    async with opened_reports(settings) as reports:
        told = None
        if chosen.name in REPORTS:
            told = await reports.told(REPORTS[chosen.name], chosen.bounds)
        with picture.written(path):
            await draw(chosen.name, _rows(reports, chosen), path, told)
    output.say(f"drawn: {path}")
