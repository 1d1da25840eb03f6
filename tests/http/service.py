"""A service in a process of its own, and requests to it that no client library tidies up."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

_SERVE = """
import logging, resource, sys
if files := int(sys.argv[1]):
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
from session_router.http import run
from session_router.settings import Settings
logging.basicConfig(level=logging.INFO)
run(Settings())
"""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    document: Any


class Service:
    """`run()` on a free port; killed at the latest when the block ends."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self._process = process
        self._errors = errors
        self.host, self.port = "", 0

    @classmethod
    @contextmanager
    def running(
        cls, folder: Path | None = None, *, files: int = 0, **settings: object
    ) -> Iterator[Self]:
        """Start one, in `folder`, with these settings; yields when it listens.

        Args:
            files: how many it may have open; 0 leaves that as it is.
        """
        ours = {name: value for name, value in os.environ.items() if "SESSION_ROUTER" not in name}
        given = {f"SESSION_ROUTER_{k.upper()}": str(v) for k, v in settings.items()}
        env = {**ours, "SESSION_ROUTER_HTTP_PORT": "0", **given}
        with tempfile.TemporaryDirectory() as own:
            errors = Path(own) / "stderr"
            with errors.open("w") as stderr:
                process = subprocess.Popen(
                    [sys.executable, "-c", _SERVE, str(files)],
                    env=env,
                    cwd=folder or own,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
            service = cls(process, errors)
            try:
                service._learn_address()
                yield service
            finally:
                process.kill()
                process.communicate()

    @property
    def log(self) -> str:
        return self._errors.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    def order(self, order: signal.Signals) -> None:
        self._process.send_signal(order)

    async def exit_code(self, *, within: float = 20) -> int:
        """Wait until it ends by itself."""
        return await asyncio.to_thread(self._process.wait, within)

    async def ask(self, method: str, target: str, body: object = None) -> Answer:
        """Send a request with exactly this target, and read the answer."""
        head = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
        content = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return await self.send("\r\n".join([*head, "", ""]).encode() + content)

    async def send(self, request: bytes) -> Answer:
        """Send bytes, and read to the end of the connection."""
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(self.host, self.port)
            writer.write(request)
            received = await reader.read()
            writer.close()
            await writer.wait_closed()
        return parse(received)

    def _learn_address(self) -> None:
        assert self._process.stdout is not None
        # One that hangs is killed, which ends the line that is waited for.
        watch = threading.Timer(60, self._process.kill)
        watch.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watch.cancel()
        assert line.startswith("Serving on http://"), self.log
        address = urlsplit(line.split()[2])
        assert address.hostname is not None
        assert address.port is not None
        self.host, self.port = address.hostname, address.port


def parse(received: bytes) -> Answer:
    head, _, content = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split()[1]), headers, json.loads(content) if content else None)
