"""Which release runs, also where nobody has installed it."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from session_router.release import release

CHECKOUT = Path(__file__).parents[1]
ASKS = "import sys; sys.path.insert(0, sys.argv[1]); {}"
TELLS = "from session_router.release import release; print(release())"


def test_it_is_that_of_the_package() -> None:
    assert release() == version("session-router")


def test_files_that_were_not_installed_have_none(tmp_path: Path) -> None:
    """As a copy beside an application, or a checkout that another environment finds by a path."""
    (tmp_path / "session_router").symlink_to(CHECKOUT / "session_router")
    said = subprocess.check_output(
        [sys.executable, "-S", "-E", "-c", ASKS.format(TELLS), str(tmp_path)], text=True
    )
    assert said == "None\n"
