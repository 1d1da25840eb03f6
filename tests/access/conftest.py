"""The keys of either database."""

from collections.abc import AsyncIterator

import pytest

from session_router.access import Keys


@pytest.fixture
async def keys(database_url: str) -> AsyncIterator[Keys]:
    async with Keys.opened(database_url) as opened:
        yield opened
