"""Beside a host's own Alembic in one database: neither touches what is the other's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from session_router.database import migrate
from session_router.database.migrate import Target
from session_router.database.url import parse_url
from tests.support.sql import query

GUIDE = (Path(__file__).parents[2] / "docs/deploy.md").read_text()
ENVIRONMENT = """
import asyncio

import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
{imports}
metadata = sa.MetaData()
sa.Table("accounts", metadata, sa.Column("id", sa.Integer, primary_key=True))


def migrate(connection):
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        {options}
    )
    with context.begin_transaction():
        context.run_migrations()


async def main():
    engine = create_async_engine(context.config.get_main_option("sqlalchemy.url"))
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(main())
"""


class Host:
    """A program with tables of its own, and Alembic for them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._alembic("init", "migrations")
        driver = parse_url(url).render_as_string(hide_password=False)
        lines = ["[alembic]", "script_location = migrations", f"sqlalchemy.url = {driver}"]
        (folder / "alembic.ini").write_text("\n".join(lines))

    def use(self, *, hook: bool) -> None:
        [code] = re.findall(r"```python\n(from session_router.*?)\n```", GUIDE, re.DOTALL)
        imports, option = code.split("\n\n") if hook else ("", "")
        option = re.sub(r".*?(include_object=\w+).*", r"\1", option, flags=re.DOTALL)
        environment = ENVIRONMENT.format(imports=imports, options=option)
        (self.folder / "migrations/env.py").write_text(environment)

    def __call__(self, *arguments: str) -> str:
        done = self._alembic(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def differs(self) -> bool:
        """Whether its autogenerate has anything to say."""
        return self._alembic("check").returncode != 0

    def _alembic(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def host(tmp_path: Path, empty_url: str) -> Host:
    folder = tmp_path / "host"
    folder.mkdir()
    host = Host(folder, empty_url)
    host.use(hook=True)
    host("revision", "--autogenerate", "-m", "accounts")
    return host


async def tables(url: str, *names: str) -> int:
    """How many of these tables hold a row or can at least be read."""
    return sum([await query(url, f"SELECT count(*) FROM {name}") != [] for name in names])


async def test_a_hosts_migrations_and_ours_leave_each_other_alone(
    empty_url: str, host: Host
) -> None:
    target = Target(empty_url)
    host("upgrade", "head")
    await migrate.upgrade(target)
    assert await migrate.check(target) == []
    assert not host.differs()
    host("revision", "--autogenerate", "-m", "nothing")
    [nothing] = (host.folder / "migrations/versions").glob("*_nothing.py")
    assert "op." not in nothing.read_text().split("def upgrade", 1)[1]

    host("downgrade", "base")
    assert await migrate.check(target) == []
    host("upgrade", "head")
    await migrate.downgrade(target, "base")
    assert await tables(empty_url, "accounts", "alembic_version") == 2
    assert "accounts" in host("history")
    assert not host.differs()


async def test_without_the_hook_a_host_would_drop_our_tables(empty_url: str, host: Host) -> None:
    host("upgrade", "head")
    await migrate.upgrade(Target(empty_url))
    host.use(hook=False)
    assert host.differs()


async def test_what_the_host_itself_no_longer_has_is_still_found(
    empty_url: str, host: Host
) -> None:
    host("upgrade", "head")
    await migrate.upgrade(Target(empty_url))
    await query(empty_url, "CREATE TABLE forgotten (id INTEGER)")
    assert host.differs()
