"""The command line `session-router`."""

import io
import logging
import os
import sys

from session_router.cli import ctrl_c, output
from session_router.cli.app import program
from session_router.cli.exit_codes import ExitCode, exit_code_of
from session_router.cli.options import Invocation
from session_router.errors import SessionRouterError


def main() -> None:
    """Run the program; an error that is no bug ends it with one clean message and its code."""
    _make_any_text_printable()
    _complete_without_rich()
    # A command tells by itself what went wrong; only `serve` sets up a log.
    logging.lastResort = logging.NullHandler()
    invocation = Invocation()
    with ctrl_c.noted() as was_interrupted:
        try:
            program()(obj=invocation)
        except SystemExit:
            raise
        except _ends() as error:
            if was_interrupted():
                sys.exit(ExitCode.CANCELLED)
            if not isinstance(error, Exception):
                raise
            code = exit_code_of(error)
            output.complain(error, code, as_json=invocation.as_json)
            sys.exit(code)


def _ends() -> tuple[type[BaseException], ...]:
    """What may end a command; asyncio is imported by then, or it takes a while for nothing."""
    from asyncio import CancelledError

    return (SessionRouterError, TimeoutError, CancelledError)


def _make_any_text_printable() -> None:
    """An id that the terminal's encoding lacks is shown escaped, rather than ending us."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _complete_without_rich() -> None:
    """Keep typer from importing rich for the shell's completions, which have no markup.

    It looks whether rich is installed; the import system takes None for a package that is not.
    """
    if any("SESSION_ROUTER_COMPLETE" in name for name in os.environ):
        sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
