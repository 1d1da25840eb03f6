"""`session-router serve`: the HTTP service, and the demo in it."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from session_router.cli import output
from session_router.cli.exit_codes import MissingExtraError
from session_router.cli.options import DatabaseUrl, settings_of
from session_router.log_output import write_log

if TYPE_CHECKING:
    from session_router.manager import SessionManager
    from session_router.settings import Settings


def serve(
    demo: Annotated[
        bool, typer.Option("--demo", help="Run a few agents that stream, to look at and to stop.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            help="The address to listen on. Left out: SESSION_ROUTER_HTTP_HOST, or else this "
            "machine only (127.0.0.1).",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="The port; 0 takes a free one. Left out: SESSION_ROUTER_HTTP_PORT, or else 8080.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="How many processes serve, each a worker of its own, best one a core. Left out: "
            "SESSION_ROUTER_HTTP_WORKERS, or else 1.",
            show_default=False,
        ),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Run the HTTP service.

    It answers to its addresses and to localhost; SESSION_ROUTER_HTTP_ALLOWED_HOSTS names further
    hosts. SIGTERM and Ctrl-C stop it with exit code 0. The tables of the default SQLite file are
    made and upgraded by themselves; any other database has to be as 'session-router db upgrade'
    leaves it. The log goes to stderr; SESSION_ROUTER_LOG_FORMAT=json makes each line an object.
    """
    settings = settings_of(database_url, http_host=host, http_port=port, http_workers=workers)
    run_service = _service()
    write_log(settings.log_format, settings.log_level)
    background = [partial(_perform, settings, database_url)] if demo else []
    run_service(settings, background=background)


def _service() -> Callable[..., None]:
    """The service, which is imported only now: it takes a while, and the extra may be missing."""
    try:
        from session_router.http import run as run_service
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("session_router"):
            raise
        raise MissingExtraError(
            f"'session-router serve' needs the package {error.name!r}, which is not installed: "
            "pip install 'session-router[http]'."
        ) from error
    return run_service


async def _perform(settings: Settings, database_url: str | None, manager: SessionManager) -> None:
    """Tell a newcomer what to try, then let the readers read."""
    from session_router.demo import read_aloud

    output.say(_what_to_try(settings, database_url))
    await read_aloud(manager, _say_now)


def _what_to_try(settings: Settings, database_url: str | None) -> str:
    from session_router.demo import READERS, REST_SEC, WORD_SEC

    url, session_id = _url(settings), READERS[0].session_id
    shortest = min(len(reader.text.split()) for reader in READERS) * WORD_SEC
    events = shlex.join([*_program(), "events", session_id, *_database_option(database_url)])
    return f"""
The demo: {len(READERS)} agents each stream a text, word by word, for {shortest:.0f} s or more.
See who streams, and stop it:  {url}/console  (in a browser)
Or try these in a second terminal, in this folder:

  See who streams:           curl {url}/sessions
  Stop the agent in {session_id}:  curl -X POST {url}/sessions/{session_id}/interrupt
  Read the whole story:      {events}

An agent that was stopped begins again after {REST_SEC:g} s. Ctrl-C ends the service.
"""


def _say_now(line: str) -> None:
    output.say(output.escape(line))
    sys.stdout.flush()


def _url(settings: Settings) -> str:
    host, port = settings.http_host, settings.http_port or "PORT"
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - every address; a client needs one of them
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _program() -> list[str]:
    """How to call this program again: in a checkout it is not on the PATH."""
    if sys.argv[0].endswith("__main__.py"):
        return ["python", "-m", "session_router"]
    return ["session-router"] if shutil.which("session-router") else [sys.argv[0]]


def _database_option(database_url: str | None) -> list[str]:
    """What was given on the command line has to be given again, but for its secrets.

    A password shows as ***; a query, which may hold one too, is left out.
    """
    if database_url is None:
        return []
    from session_router.database.url import parse_url

    return ["--database-url", parse_url(database_url).set(query={}).render_as_string()]
