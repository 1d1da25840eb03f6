"""The example runs as its docstring says, and is stopped from another program."""

import signal
import sys
from contextlib import suppress
from pathlib import Path

import httpx

from tests.fastapi.server import Answer
from tests.support.postgres import free_port
from tests.support.processes import PythonProcess
from tests.support.waiting import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_the_chat_is_stopped_from_another_program(tmp_path: Path) -> None:
    port, program = free_port(), str(Path(sys.executable).parent / "session-router")
    tables = ("db", "upgrade", "--database-url", "sqlite:///examples.db")
    async with PythonProcess.started(program, *tables, cwd=tmp_path) as upgrading:
        await upgrading.result()
    serve = ("-m", "uvicorn", "fastapi_chat:app", "--workers", "2", "--port", str(port))
    async with (
        PythonProcess.started(*serve, "--app-dir", str(EXAMPLES), cwd=tmp_path) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        await eventually(lambda: _serves(client), within=60)
        async with Answer.opened(client, "/chat/chat-1") as answer:
            stop = (str(EXAMPLES / "stream_stop.py"), "stop")
            async with PythonProcess.started(*stop, cwd=tmp_path) as stopping:
                assert await stopping.result() == "writer/a delivered\n"
            assert await answer.end() == ("stopped", "interrupted")
        assert answer.events.data[0] == "word1 "
        assert (await client.post("/chat/chat-1/stop")).json() == {}
        server.send(signal.SIGTERM)
        await server.result()


async def _serves(client: httpx.AsyncClient) -> bool:
    with suppress(httpx.TransportError):
        return (await client.get("/docs")).status_code == 200
    return False
