from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import PostgresDatabases


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(
    request: pytest.FixtureRequest, postgres: PostgresDatabases, tmp_path: Path
) -> Iterator[str]:
    """Either database, without tables; the SQLite file is not there yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    with postgres.fresh(empty=True) as url:
        yield url
