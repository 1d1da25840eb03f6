"""The command line `session-router`."""

import io
import logging
import sys
from asyncio import CancelledError

from session_router.cli import ctrl_c, output
from session_router.cli.app import app
from session_router.cli.exit_codes import ExitCode, exit_code_of
from session_router.cli.options import Invocation
from session_router.errors import SessionRouterError


def main() -> None:
    """Run the program; an error that is no bug ends it with one clean message and its code."""
    _make_any_text_printable()
    # A command tells by itself what went wrong; only `serve` sets up a log.
    logging.lastResort = logging.NullHandler()
    invocation = Invocation()
    with ctrl_c.noted() as was_interrupted:
        try:
            app(obj=invocation)
        except (SessionRouterError, TimeoutError, CancelledError) as error:
            if was_interrupted():
                sys.exit(ExitCode.CANCELLED)
            if isinstance(error, CancelledError):
                raise
            code = exit_code_of(error)
            output.complain(error, code, as_json=invocation.as_json)
            sys.exit(code)


def _make_any_text_printable() -> None:
    """An id that the terminal's encoding lacks is shown escaped, rather than ending us."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
