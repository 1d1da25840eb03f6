"""What is installed works alone: the wheel has the migrations, and needs no checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content, as an installation has it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    subprocess.run(
        [*pip, "--no-deps", "--no-index", "--no-build-isolation", f"--wheel-dir={folder}", "."],
        cwd=CHECKOUT,
        check=True,
    )
    (wheel,) = folder.glob("session_router-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def call(installed: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "session_router", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_wheel_has_all_that_runs_and_nothing_else(installed: Path) -> None:
    package = installed / "session_router"
    shipped = {path.name for path in (package / "migrations/versions").iterdir()}

    assert shipped == {path.name for path in (CHECKOUT / "migrations/versions").glob("*.py")}
    assert (package / "py.typed").exists()
    assert {path.name.split("-")[0] for path in installed.iterdir()} == {"session_router"}


def test_it_migrates_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    program = "import session_router; print(session_router.__file__)"
    used = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert used.stdout.startswith(str(installed))

    call(installed, tmp_path, "db", "upgrade")
    assert '"ok": true' in call(installed, tmp_path, "db", "check", "--json")
    assert "CREATE TABLE sessions" in call(installed, tmp_path, "db", "sql")
    assert (tmp_path / "session_router.db").exists()
