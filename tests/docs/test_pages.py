"""README and the pages beside it say what is so: examples run, tables are complete."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import indent

import pytest

from session_router import InMemorySessionRepository, SessionManager
from session_router.cli.exit_codes import MEANINGS
from session_router.http import create_app
from session_router.settings import Settings
from tests.cli.program import Program
from tests.docs.pages import CHECKOUT, blocks, read


def test_the_readme_is_read_in_minutes() -> None:
    assert len(read("README.md").splitlines()) <= 200


def test_the_example_is_the_file_and_prints_what_the_readme_says(tmp_path: Path) -> None:
    path = CHECKOUT / "examples/quickstart.py"
    [code] = blocks("README.md", "python")
    assert path.read_text().endswith(code)
    assert len([line for line in code.splitlines() if line]) <= 15

    done = subprocess.run(
        [sys.executable, path], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert f"It prints:\n\n```\n{done.stdout}```" in read("README.md")


# What a reader takes as given: names that the text has introduced before.
GIVEN = """
import asyncio
import autogen_core as autogen
from dataclasses import dataclass
import session_router.runtimes.autogen
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4
from session_router import *
from sqlalchemy.ext.asyncio import AsyncEngine

@dataclass
class Message:
    session_id: str
    text: str

class Stoppable:
    def trigger_transient_cancel(self) -> None: ...

async def reader(
    manager: SessionManager,
    repository: SessionRepository,
    engine: AsyncEngine,
    agent_id: AgentId,
    instance: Stoppable,
    runtime: autogen.AgentRuntime,
    answer: AsyncIterator[str],
) -> None:
"""
CLASS = """
    class Writer(autogen.RoutedAgent):
        _manager: SessionManager
"""


def typed_lines(page: str) -> list[str]:
    """The page's Python, each piece as a module that stands alone; a program does so already."""
    calls = re.findall(
        r"`((?:manager|runtime|session_router|[A-Z]\w+)[\w.]*\([^`]*\))`", read(page)
    )
    pieces = [*blocks(page, "python"), *(call for call in calls if "..." not in call)]
    return [piece if piece.startswith("import ") else _module(piece) for piece in pieces]


def _module(piece: str) -> str:
    given = GIVEN
    if "LocalAgentRuntime()" in piece:  # brings a runtime of its own
        given = given.replace("    runtime: autogen.AgentRuntime,\n", "")
        given = given.replace("    manager: SessionManager,\n", "")
    code = re.sub(r"\A    class Writer\(autogen.RoutedAgent\):\n", CLASS, indent(piece, "    "))
    return f"{given}{code}\n"


@pytest.mark.parametrize(
    ("page", "pieces"),
    [("README.md", 1), ("docs/client.md", 1), ("docs/usage.md", 5), ("docs/stopping.md", 3)],
)
def test_the_typed_lines_pass_a_strict_type_check(page: str, pieces: int, tmp_path: Path) -> None:
    modules = typed_lines(page)
    assert len(modules) >= pieces
    for number, code in enumerate(modules):
        (tmp_path / f"piece_{number}.py").write_text(code)

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *map(str, sorted(tmp_path.iterdir()))],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_settings_are_all_there_with_their_defaults(program: Program) -> None:
    rows = re.findall(
        r"^\| `(SESSION_ROUTER_\w+)` \| `?([^|`]+)`? \|", read("docs/settings.md"), re.MULTILINE
    )
    settings = Settings()

    told = dict(rows)
    assert len(told) == len(rows)
    assert set(told) == {f"SESSION_ROUTER_{field.upper()}" for field in Settings.model_fields}
    for field in Settings.model_fields:
        value = getattr(settings, field)
        given = value.get_secret_value() if field == "database_url" else f"{value}"
        assert told[f"SESSION_ROUTER_{field.upper()}"].strip() == given.removesuffix(".0"), field


def test_the_events_of_the_log_are_all_there() -> None:
    rows = re.findall(r"^\| (`[^|]*) \|[^|]*\|(.*)\|$", read("docs/logs.md"), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", " ".join(row))}
    calls = [
        node
        for node in ast.walk(ast.parse(read("session_router/logs.py")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "_line"
    ]
    events = {
        each.value
        for call in calls
        for each in ast.walk(call.args[1])
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }
    assert len(events) > 20
    assert events <= told


def test_the_exit_codes_are_all_there() -> None:
    for code, meaning in MEANINGS.items():
        assert f"| {code} | {meaning} |" in read("docs/command-line.md")


def test_every_command_is_named_and_exists(program: Program) -> None:
    named = re.findall(
        r"^\| `session-router ((?:[a-z]+(?:-[a-z]+)* ?)+)",
        read("docs/command-line.md"),
        re.MULTILINE,
    )

    assert len(named) >= 11
    for command in named:
        assert program(*command.split(), "--help").code == 0, command


def test_every_request_is_named_and_exists() -> None:
    rows = "\n".join(re.findall(r"^\| (`[A-Z]+ /.*?) \|", read("docs/http.md"), re.MULTILINE))
    named = re.findall(r"([A-Z]+) (/[^`?\s]*)", rows)
    described = create_app(SessionManager(InMemorySessionRepository())).openapi()["paths"]

    served = {(m.upper(), path) for path, methods in described.items() for m in methods}
    short = {"session_id": "id", "agent_type": "type", "agent_key": "key"}
    short |= {name: name for name in ("stream_id", "request_id", "worker_id")}
    assert set(named) == {
        (method, re.sub(r"\w+(?=})", lambda name: short[name[0]], path)) for method, path in served
    }


def test_every_extra_is_named_and_all_has_each() -> None:
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    named = re.findall(r"^\| `(\w+)` \|", read("docs/usage.md"), re.MULTILINE)

    assert named == list(extras)
    assert extras["all"] == [f"session-router[{','.join(named[:-1])}]"]
