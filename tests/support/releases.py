"""Other releases of this package, in folders of their own: the one before, and one to come."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

_CHECKOUT: Final = Path(__file__).parents[2]
_WHEELS: Final = _CHECKOUT / "tests/releases"

_REVISION: Final = '''"""A revision to come."""

import sqlalchemy as sa
from alembic import op

from session_router.database.migration.online import create_index, drop_index, replace_check

revision = "{revision}"
down_revision = "{down_revision}"
branch_labels = None
depends_on = None
oldest_code = "{oldest_code}"

{body}
'''


class Release:
    """An installation in `folder`, that runs with the libraries of this environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to import this release."""
        return {**os.environ, "PYTHONPATH": str(self.folder)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "session_router", *arguments]

    def __call__(self, *arguments: str, url: str) -> subprocess.CompletedProcess[str]:
        """Run `session-router ARGUMENTS` of this release on a database, to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environment, "SESSION_ROUTER_DATABASE_URL": url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def released(version: str, folder: Path) -> Release:
    """A release that is out, from its wheel."""
    with zipfile.ZipFile(_WHEELS / f"session_router-{version}-py3-none-any.whl") as wheel:
        wheel.extractall(folder)
    return Release(folder)


def to_come(folder: Path, *bodies: str, oldest_code: str = "{down_revision}") -> Release:
    """This checkout as it would be installed, with a revision more for each of `bodies`.

    Args:
        bodies: the source of `upgrade()` and `downgrade()`.
        oldest_code: what each revision says of itself.
    """
    without_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_CHECKOUT / "session_router", folder / "session_router", ignore=without_caches)
    migrations = folder / "session_router/migrations"
    shutil.copytree(_CHECKOUT / "migrations", migrations, ignore=without_caches)
    newest = max(path.name.split("_")[0] for path in (migrations / "versions").glob("*.py"))
    for number, body in enumerate(bodies, start=int(newest) + 1):
        down_revision = f"{number - 1:04}"
        source = _REVISION.format(
            revision=f"{number:04}",
            down_revision=down_revision,
            oldest_code=oldest_code.format(down_revision=down_revision),
            body=body,
        )
        (migrations / f"versions/{number:04}_to_come.py").write_text(source)
    return Release(folder)
