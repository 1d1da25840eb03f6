"""What a command prints: tables for a person, plain lines into a pipe, JSON for machines.

Ids are anybody's text. Into JSON they go exactly; wherever a person looks, whatever could break
a line, a table or a terminal is shown escaped.
"""

import json
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import typer

_MINUTE: Final = 60
_HOUR: Final = 3_600
_NARROW: Final = 10


def escape(text: str) -> str:
    """Text on one line, without anything that a terminal obeys.

    Newlines, control characters and marks that turn the direction of writing become backslash
    escapes, and so do blanks at either end. A text with a backslash of its own has that doubled.
    """
    shown = _without_controls(text.replace("\\", "\\\\"))
    stripped = shown.strip(" ")
    if stripped == shown:
        return shown
    before = len(shown) - len(shown.lstrip(" "))
    return "\\x20" * before + stripped + "\\x20" * (len(shown) - before - len(stripped))


def is_watched() -> bool:
    """Whether what is printed goes to a terminal, where a person looks."""
    return sys.stdout.isatty()


def show_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    header: bool = True,
    flexible: Container[str] = (),
) -> None:
    """Print rows as a table to a person, else as lines.

    Args:
        header: whether lines begin with the columns' names.
        flexible: the columns that a table narrows first.
    """
    if is_watched():
        show_table(columns, rows, flexible=flexible)
    else:
        show_lines(columns, rows, header=header)


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    flexible: Container[str],
    title: str | None = None,
) -> None:
    """Print a table as wide as it needs to be, and the terminal allows."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, shown = Console(), [[*map(escape, row)] for row in rows]
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *shown, strict=True)]
    least = (
        min(width, _NARROW) if name in flexible else width
        for name, width in zip(columns, widths, strict=True)
    )
    # Where that is too much, columns that may be narrowed would be narrowed to nothing.
    is_tight = sum(least) + 2 * len(columns) > console.width
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    for name in columns:
        table.add_column(
            Text(name),
            no_wrap=not is_tight and name not in flexible,
            min_width=_NARROW if name in flexible and not is_tight else None,
        )
    for row in shown:
        # A cell folds in any case; `no_wrap` only says whose columns are narrowed last.
        table.add_row(*(Text(cell, overflow="fold", no_wrap=False) for cell in row))
    console.print(table)


def show_lines(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, header: bool = True
) -> None:
    """Print a row a line, its cells parted by tabs, which no cell contains."""
    if header:
        typer.echo("\t".join(columns))
    for row in rows:
        typer.echo("\t".join(map(escape, row)))


def show_json(value: Any, *, err: bool = False) -> None:
    """Print one JSON document on one line; in ASCII, so that every pipe and terminal is safe."""
    typer.echo(json.dumps(value), err=err)


def show_exactly(text: str) -> None:
    """Print what programs read: a line of CSV, SQL."""
    typer.echo(text)


def show_bytes(lines: bytes) -> None:
    """Print what programs read, in UTF-8, as it comes."""
    typer.echo(lines, nl=False)


def say(text: str) -> None:
    """Print a result in words; nothing of it is obeyed by a terminal but the ends of lines."""
    typer.echo(_lines(text))


def note(text: str) -> None:
    """Print a remark for a person, beside the result."""
    typer.echo(_lines(text), err=True)


def complain(error: Exception, code: int, *, as_json: bool) -> None:
    """Print, on stderr, why a command failed."""
    message = str(error) or "the database did not answer in time; check the server and the URL."
    if as_json:
        fault = {"type": type(error).__name__, "message": message, "exit_code": int(code)}
        typer.echo(json.dumps({"error": fault}), err=True)
    else:
        typer.echo(f"Error: {_without_controls(message)}", err=True)


@contextmanager
def busy(doing: str) -> Iterator[None]:
    """Tell a person at a terminal what takes time, while it does."""
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(f"{doing} ..."):
            yield
    else:
        yield


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Show a person at a terminal how far a long piece of work is, by what the caller tells."""
    if not sys.stderr.isatty():
        yield lambda _what, _share: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=1.0)
        yield lambda what, share: bars.update(bar, description=what, completed=share)


def utc(time: datetime | None) -> str | None:
    """A time as JSON has it."""
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment(time: datetime, timespec: str = "milliseconds") -> str:
    """A time in UTC."""
    return time.astimezone(UTC).isoformat(sep=" ", timespec=timespec)[: -len("+00:00")]


def duration(length: timedelta) -> str:
    """A length of time in the unit that reads best."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, seconds_left = divmod(round(seconds), _MINUTE)
    if seconds < _HOUR:
        return f"{minutes} min {seconds_left:02} s"
    hours, minutes_left = divmod(minutes, _MINUTE)
    return f"{hours} h {minutes_left:02} min"


def _lines(text: str) -> str:
    return "\n".join(map(_without_controls, text.split("\n")))


def _without_controls(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
