"""The README says what is so: its example runs, its tables are complete."""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

from session_router.cli.exit_codes import MEANINGS
from session_router.settings import Settings
from tests.cli.program import Program

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text()


def test_the_example_is_the_file_and_prints_what_the_readme_says(tmp_path: Path) -> None:
    path = CHECKOUT / "examples/quickstart.py"
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    assert path.read_text().endswith(code)

    done = subprocess.run(
        [sys.executable, path], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert f"It prints:\n\n```\n{done.stdout}```" in README


# What a reader takes as given: names that the text has introduced before.
GIVEN = """
import asyncio
import autogen_core as autogen
from dataclasses import dataclass
import session_router.runtimes.autogen
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
) -> None:
"""
CLASS = """
    class Writer(autogen.RoutedAgent):
        _manager: SessionManager
"""


def typed_lines() -> list[str]:
    """The README's Python, each piece as a module that stands alone; the first does so already."""
    blocks = [dedent(b) for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL)]
    calls = re.findall(r"`((?:manager|runtime|session_router|[A-Z]\w+)[\w.]*\([^`]*\))`", README)
    pieces = [*blocks[1:], *(call for call in calls if "..." not in call)]
    modules = []
    for piece in pieces:
        code = indent(piece, "    ")
        if "LocalAgentRuntime()" in code:  # brings a runtime of its own
            given = GIVEN.replace("    runtime: autogen.AgentRuntime,\n", "")
            given = given.replace("    manager: SessionManager,\n", "")
        else:
            given = GIVEN
        code = re.sub(r"\A    class Writer\(autogen.RoutedAgent\):\n", CLASS, code)
        modules.append(f"{given}{code}\n")
    return [blocks[0], *modules]


def test_the_typed_lines_pass_a_strict_type_check(tmp_path: Path) -> None:
    modules = typed_lines()
    assert len(modules) >= 6
    for number, code in enumerate(modules):
        (tmp_path / f"readme_{number}.py").write_text(code)

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *map(str, sorted(tmp_path.iterdir()))],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_settings_are_all_there_with_their_defaults(program: Program) -> None:
    rows = re.findall(r"^\| `(SESSION_ROUTER_\w+)` \| `?([^|`]+)`? \|", README, re.MULTILINE)
    settings = Settings()

    told = dict(rows)
    assert len(told) == len(rows)
    assert set(told) == {f"SESSION_ROUTER_{field.upper()}" for field in Settings.model_fields}
    for field in Settings.model_fields:
        value = getattr(settings, field)
        given = value.get_secret_value() if field == "database_url" else f"{value}"
        assert told[f"SESSION_ROUTER_{field.upper()}"].strip() == given.removesuffix(".0"), field


def test_the_exit_codes_are_all_there() -> None:
    for code, meaning in MEANINGS.items():
        assert f"| {code} | {meaning} |" in README


def test_every_command_is_named_and_exists(program: Program) -> None:
    named = re.findall(r"^\| `session-router ([a-z ]+)", README, re.MULTILINE)

    assert len(named) >= 11
    for command in named:
        assert program(*command.split(), "--help").code == 0, command
