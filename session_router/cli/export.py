"""`session-router audit export`: events into a file, or into a pipe."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from session_router.cli import output
from session_router.cli.connection import opened_trail
from session_router.cli.exit_codes import MissingExtraError
from session_router.cli.near import one_of
from session_router.cli.options import DatabaseUrl, Json, moment_of, settings_of
from session_router.cli.words import EXPORT_FORMATS, completed
from session_router.errors import InvalidValueError

if TYPE_CHECKING:
    from session_router.audit.export import Exported, Wanted
    from session_router.audit.formats import Format
    from session_router.audit.trail import Progress
    from session_router.settings import Settings

_LAST_EVENT_ID: Final = 2**63 - 1


def export(
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar=f"[{'|'.join(EXPORT_FORMATS)}]",
            help="How to write; csv is fit for spreadsheets.",
            autocompletion=completed(EXPORT_FORMATS),
        ),
    ] = "jsonl",
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only what occurred then or later: a date or time, by default UTC.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only what occurred earlier; written alike.", show_default=False
        ),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=_LAST_EVENT_ID,
            metavar="EVENT_ID",
            help="Only events behind this one: what the last export said to continue with.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Written whole or not at all. Left out: standard output.",
            show_default=False,
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Export events.

    Streams them in the order of the trail, and ends where one could still appear. Then tells, on
    stderr, how many there were and which --after continues from there; with --json as a JSON
    document, on standard output where --output names a file.
    """
    from session_router.audit.export import Wanted
    from session_router.audit.formats import Format

    format_ = Format(one_of(EXPORT_FORMATS, format_, "--format"))
    wanted = Wanted(after, moment_of(since, "--since"), moment_of(until, "--until"))
    if format_ is Format.PARQUET:
        _refuse_without_pyarrow()
        if file is None and sys.stdout.isatty():
            raise InvalidValueError("Parquet is nothing for a terminal; give --output FILE.")
    settings = settings_of(database_url)
    with output.progress() as progress, _opened(file) as opened:
        done = asyncio.run(_export(settings, format_, opened, wanted, progress))
    if as_json:
        output.show_json(asdict(done), err=file is None)
    else:
        output.note(_told(done))


async def _export(
    settings: Settings, format_: Format, file: IO[bytes], wanted: Wanted, progress: Progress
) -> Exported:
    from session_router.audit.export import export as export_events

    async with opened_trail(settings) as trail:
        return await export_events(trail, format_, file, wanted, progress)


@contextmanager
def _opened(path: Path | None) -> Iterator[IO[bytes]]:
    """The file to write to; it gets its name when all is written."""
    if path is None:
        yield sys.stdout.buffer
        return
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise InvalidValueError(f"{str(path)!r} cannot be written: {error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _refuse_without_pyarrow() -> None:
    try:
        import pyarrow  # type: ignore[import-untyped]  # noqa: F401 - whether it is there
    except ImportError as error:
        raise MissingExtraError(
            "Parquet needs the package 'pyarrow', which is not installed: "
            "pip install 'session-router[parquet]'."
        ) from error


def _told(done: Exported) -> str:
    if done.next_after is None:
        return f"exported {done.events} event(s)"
    return f"exported {done.events} event(s); continue with --after {done.next_after}"
