"""The examples run as they are, and one call stops either from another process."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.support.processes import PythonProcess

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str, *arguments: str, folder: Path) -> AbstractAsyncContextManager[PythonProcess]:
    """Run an example in `folder`, where its database is."""
    return PythonProcess.started(str(EXAMPLES / name), *arguments, cwd=folder)


@pytest.mark.parametrize(
    ("name", "agent", "first", "last"),
    [
        ("stream_stop.py", "counter/a", "1", "interrupted"),
        ("autogen_stop.py", "writer/alice", "word", "It wrote word"),
    ],
)
async def test_an_example_goes_on_until_another_process_stops_it(
    name: str, agent: str, first: str, last: str, tmp_path: Path
) -> None:
    async with example(name, folder=tmp_path) as streaming:
        assert await streaming.line() == first
        async with example("stream_stop.py", "stop", folder=tmp_path) as stopping:
            assert await stopping.result() == f"{agent} delivered\n"
        assert (await streaming.result()).splitlines()[-1].startswith(last)
