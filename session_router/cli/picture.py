"""The pictures that `session-router report --plot` draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from session_router.cli.exit_codes import MissingExtraError
from session_router.errors import InvalidValueError, SessionRouterError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from session_router.reports import Told
    from session_router.reports.rows import ReportRow

    Draw = Callable[[str, AsyncIterator[ReportRow], Path, Told | None], Awaitable[None]]

PICTURES: Final = ("activity", "agents", "concurrency", "interrupts")
_SUFFIXES: Final = (".png", ".svg")


class PlotError(SessionRouterError):
    """The picture cannot be written."""


def checked(name: str, path: Path) -> Path:
    if name not in PICTURES:
        raise InvalidValueError(
            f"the report {name!r} has no picture; {', '.join(PICTURES)} have one."
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


def drawing() -> Draw:
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


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Tell why a picture cannot be written, where that is so."""
    try:
        yield
    except OSError as error:
        raise PlotError(
            f"the picture {str(path)!a} cannot be written: {error.strerror}; name another file."
        ) from error
