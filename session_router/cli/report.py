"""`session-router report`: what happened, counted and measured."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from session_router.cli import output
from session_router.cli.connection import opened_reports
from session_router.cli.exit_codes import MissingExtraError
from session_router.cli.options import DatabaseUrl, Invocation, settings_of
from session_router.csv_cells import text_cell
from session_router.errors import InvalidValueError, SessionRouterError
from session_router.reports import REPORTS, Bounds, Reports, Told
from session_router.reports.bounds import parse_moment
from session_router.reports.rows import ConcurrencyBucket, ReportRow
from session_router.settings import Settings

_CONCURRENCY: Final = "concurrency"
_NAMES: Final = (*REPORTS, _CONCURRENCY)
_PAGE: Final = 1_000
_PICTURES: Final = ("activity", "agents", "concurrency", "interrupts")
_SUFFIXES: Final = (".png", ".svg")

Draw = Callable[[str, AsyncIterator[ReportRow], Path, Told | None], Awaitable[None]]


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class PlotError(SessionRouterError):
    """The picture cannot be written."""


def _remember_json(ctx: typer.Context, chosen: Format) -> Format:
    ctx.ensure_object(Invocation).as_json = chosen is Format.JSON
    return chosen


_TIME: Final = "a date or time (UTC, unless it says otherwise), or so long ago: 90s, 30m, 24h, 7d"


def report(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help=f"One of {', '.join(_NAMES)}.", show_default=False),
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
        Format,
        typer.Option(
            "--format",
            callback=_remember_json,
            help="csv and json have every column, times in UTC, lengths in seconds; json is one "
            "document a line.",
        ),
    ] = Format.TABLE,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many rows, the earliest.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw a picture instead, into FILE.png or FILE.svg: "
            f"{', '.join(_PICTURES)}. Needs the extra 'plot'.",
            show_default=False,
        ),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Report what happened.

    The reports but for 'concurrency' are views in the database, named report_NAME.
    'concurrency' tells how many streams there were at once; left out, --since is a day before
    --until there. 'live' and 'backlog' are of this moment.
    """
    if name not in _NAMES:
        raise InvalidValueError(f"there is no report {name!a}; choose one of {', '.join(_NAMES)}.")
    bounds = Bounds(
        None if since is None else parse_moment(since, "--since"),
        None if until is None else parse_moment(until, "--until"),
    )
    bounds.at(datetime.now(UTC))
    if name in REPORTS:
        REPORTS[name].check(bounds)
    settings = settings_of(database_url)
    if plot is not None:
        asyncio.run(_plot(settings, name, bounds, limit, _checked(name, plot), _draw()))
    else:
        asyncio.run(_print(settings, name, bounds, limit, format_))


async def _print(
    settings: Settings, name: str, bounds: Bounds, limit: int | None, format_: Format
) -> None:
    kind = REPORTS[name].row if name in REPORTS else ConcurrencyBucket
    columns = list(kind.model_fields)
    async with opened_reports(settings) as reports:
        pages = _pages(_rows(reports, name, bounds, limit))
        if format_ is Format.CSV:
            output.show_exactly(",".join(columns))
            if name in REPORTS and await reports.copy(REPORTS[name], bounds, _out, limit=limit):
                return
            async for page in pages:
                for row in page:
                    output.show_exactly(_csv_line(row))
        elif format_ is Format.JSON:
            async for page in pages:
                for row in page:
                    output.show_json(row.model_dump(mode="json"))
        else:
            await _show(pages)


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
        shown = [_cells(row) for row in page]
        output.show_rows(
            list(shown[0]),
            (list(cells.values()) for cells in shown),
            header=is_first,
            flexible=("session_id", "agent_key", "reason", "detail", "outcomes"),
        )
        is_first = False
    if is_first:
        output.note("nothing to report")


def _rows(
    reports: Reports, name: str, bounds: Bounds, limit: int | None
) -> AsyncIterator[ReportRow]:
    if name in REPORTS:
        return reports.read(REPORTS[name], bounds, limit=limit)
    return _buckets(reports, bounds, limit)


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


def _cells(row: ReportRow) -> dict[str, str]:
    """What a person reads: lengths of time in fitting units, shares together in one cell."""
    cells, shares = {}, {}
    for name, value in row:
        if name.endswith(("_uid", "stream_id", "worker_id", "request_id")):
            continue
        if name.endswith("_share"):
            shares[name.removesuffix("_share")] = value
        else:
            shown = name if isinstance(value, int) else name.removesuffix("_sec")
            cells[shown] = _cell(name, value)
    if shares:
        ranked = sorted(shares.items(), key=lambda share: -share[1])
        cells["outcomes"] = ", ".join(f"{name} {of:.1%}" for name, of in ranked if of)
    return cells


def _cell(name: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return output.moment(value)
        case float() if name.endswith(("_sec", "seconds")):
            return output.duration(timedelta(seconds=value))
        case float():
            return f"{value:.2f}"
        case _:
            return str(value)


def _checked(name: str, path: Path) -> Path:
    if name not in _PICTURES:
        raise InvalidValueError(
            f"the report {name!r} has no picture; {', '.join(_PICTURES)} have one."
        )
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidValueError(
            f"--plot {str(path)!a} is neither a .png nor an .svg file; name one."
        )
    if not path.absolute().parent.is_dir():
        raise InvalidValueError(
            f"--plot {str(path)!a} is in a folder that does not exist; make it."
        )
    return path


def _draw() -> Draw:
    """The drawing, which is imported only now: the extra may be missing."""
    try:
        from session_router.reports.plots import draw
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("session_router"):
            raise
        raise MissingExtraError(
            f"'session-router report --plot' needs the package {error.name!r}, which is not "
            "installed: pip install 'session-router[plot]'."
        ) from error
    return draw


async def _plot(
    settings: Settings, name: str, bounds: Bounds, limit: int | None, path: Path, draw: Draw
) -> None:
    async with opened_reports(settings) as reports:
        try:
            told = await reports.told(REPORTS[name], bounds) if name in REPORTS else None
            await draw(name, _rows(reports, name, bounds, limit), path, told)
        except OSError as error:
            raise PlotError(
                f"the picture {str(path)!a} cannot be written: {error.strerror}; name another file."
            ) from error
    output.say(f"drawn: {path}")
