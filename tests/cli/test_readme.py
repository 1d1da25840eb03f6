"""The README says what is so: its example runs, its tables are complete."""

import re
import subprocess
import sys
from pathlib import Path

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
