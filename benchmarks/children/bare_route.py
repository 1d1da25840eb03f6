"""A bare Starlette route that answers as a touch does: `python -m benchmarks.children.bare_route`.

On uvicorn as it is with uvloop and httptools. It prints its port.
"""

import asyncio
import socket
from datetime import UTC, datetime
from typing import Final

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.children.orders import say

_NOW: Final = datetime.now(UTC).isoformat().replace("+00:00", "Z")


async def touch(request: Request) -> JSONResponse:
    return JSONResponse(
        {
            "session_id": request.path_params["session_id"],
            "start_time": _NOW,
            "last_updated": _NOW,
            "agents_streaming": [],
        }
    )


async def main() -> None:
    app = Starlette(routes=[Route("/sessions/{session_id}/touch", touch, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0), backlog=2_048) as listener:
        config = uvicorn.Config(
            app, http="httptools", access_log=False, log_config=None, lifespan="off"
        )
        serving = asyncio.create_task(uvicorn.Server(config).serve([listener]))
        say(str(listener.getsockname()[1]))
        await serving


if __name__ == "__main__":
    uvloop.run(main())
