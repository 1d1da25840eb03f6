"""The example runs as it is: one program stops another one's stream, and neither has a database."""

from pathlib import Path

from tests.http.service import Service
from tests.support.processes import PythonProcess

EXAMPLE = str(Path(__file__).parents[2] / "examples/remote_stop.py")


async def test_a_program_goes_on_until_another_one_stops_it(
    sqlite_url: str, tmp_path: Path
) -> None:
    with Service.running(database_url=sqlite_url) as service:
        url = f"http://127.0.0.1:{service.port}"
        async with PythonProcess.started(EXAMPLE, url, cwd=tmp_path) as streaming:
            assert await streaming.line() == "1"
            async with PythonProcess.started(EXAMPLE, url, "stop", cwd=tmp_path) as stopping:
                assert await stopping.result() == "counter/a delivered\n"
            assert (await streaming.result()).splitlines()[-1] == "interrupted"
