"""The Dockerfile, read, and its steps carried out here, which needs no Docker.

The steps of the first stage run in a folder of their own; what the second stage says of user,
health and command is what the service is then started with.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from session_router.access import Keys, NewKey
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
OPT = "/opt/session-router"


@dataclass(frozen=True)
class Step:
    name: str
    given: str


def stages() -> list[list[Step]]:
    """The instructions of each stage."""
    lines = [s for s in (ROOT / "Dockerfile").read_text().splitlines() if not s.startswith("#")]
    found: list[list[Step]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, given = line.partition(" ")
        if name == "FROM":
            found.append([])
        if name:
            found[-1].append(Step(name, given))
    return found


BUILD, IMAGE = stages()


def only(name: str) -> str:
    [step] = [step for step in IMAGE if step.name == name]
    return step.given


def test_the_image_is_slim_needs_no_shell_and_its_user_is_nobody() -> None:
    assert [stage[0].given for stage in (BUILD, IMAGE)] == [
        "python:3.13-slim AS build",
        "python:3.13-slim",
    ]
    assert not [step for step in IMAGE if step.name in ("RUN", "ADD", "SHELL")]
    user, _, group = only("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    for name in ("ENTRYPOINT", "CMD"):
        assert all(isinstance(word, str) for word in json.loads(only(name)))
    assert "curl" not in only("HEALTHCHECK")
    assert isinstance(health(), list)


def test_what_is_copied_is_there_and_nothing_else_is_sent() -> None:
    copied = {source for step in BUILD if step.name == "COPY" for source in step.given.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    ignored = (ROOT / ".dockerignore").read_text().split("\n*\n")[1].split()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def health() -> list[str]:
    command: list[str] = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    return command


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One that every user may read: those of pytest are its own user's."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def built(folder: Path) -> Path:
    """What the first stage leaves behind, under the folder instead of the root."""
    source = folder / "src"
    source.mkdir()
    builder = folder / "builder/bin/python"
    subprocess.run([_python(), "-m", "venv", "--without-pip", folder / "builder"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "--python", builder, "install", "pip"], check=True)
    path = f"{folder / 'builder/bin'}:{os.environ['PATH']}"
    env = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    env |= {"PATH": path, "HOME": str(Path.home())}
    for step in BUILD:
        if step.name == "COPY":
            *copied, _ = step.given.split()
            for each in copied:
                if (ROOT / each).is_dir():
                    left = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(ROOT / each, source / each, ignore=left)
                else:
                    shutil.copy(ROOT / each, source)
        elif step.name == "RUN":
            command = step.given.replace(OPT, str(folder / "opt"))
            subprocess.run(["/bin/sh", "-ec", command], cwd=source, env=env, check=True)
    return folder / "opt"


def owner_of(process: "subprocess.Popen[bytes]") -> int | None:
    """Which user a process runs as; None where the machine does not tell."""
    told = Path(f"/proc/{process.pid}")
    return told.stat().st_uid if told.exists() else None


def _python() -> str:
    """An interpreter that every user may run; this one, where there is none."""
    for each in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        place = Path(each).resolve()
        asked = [each, "-c", "import sys, venv; sys.exit(sys.version_info < (3, 11))"]
        if place.exists() and _may_be_run_by_all(place) and not subprocess.call(asked):
            return each
    return sys.executable


def _may_be_run_by_all(program: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (program, *program.parents))


class Container:
    """The command of the image, as its user, in a folder where that may write nothing."""

    def __init__(self, built: Path, folder: Path, url: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        env = dict(part.split("=", 1) for part in shlex.split(only("ENV")))
        env = {name: value.replace(OPT, str(built)) for name, value in env.items()}
        # Under test nothing listens beyond this machine.
        env |= {"SESSION_ROUTER_HTTP_HOST": "127.0.0.1", "SESSION_ROUTER_HTTP_PORT": str(self.port)}
        user, _, group = only("USER").partition(":")
        self.user = os.geteuid()
        self._options: dict[str, Any] = {
            "env": env | {"SESSION_ROUTER_DATABASE_URL": url},
            "cwd": folder / "empty",
        }
        (folder / "empty").mkdir(mode=0o555, exist_ok=True)
        if os.geteuid() == 0 and _may_be_run_by_all((built / "bin/python").resolve()):
            self.user = int(user)
            self._options |= {"user": int(user), "group": int(group), "extra_groups": []}

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            self._found([*json.loads(only("ENTRYPOINT")), *json.loads(only("CMD"))]),
            stderr=subprocess.PIPE,
            **self._options,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def is_healthy(self) -> bool:
        command = self._found(health())
        done = subprocess.run(command, capture_output=True, check=False, **self._options)
        assert done.returncode in (0, 1)  # all that Docker knows
        return done.returncode == 0

    def _found(self, command: list[str]) -> list[str]:
        program = shutil.which(command[0], path=self._options["env"]["PATH"])
        assert program is not None
        return [program, *command[1:]]


async def test_the_image_serves_as_nobody_is_healthy_and_stops_when_it_is_told(
    built: Path, folder: Path, postgres_url: str
) -> None:
    container = Container(built, folder, postgres_url)
    key = NewKey.of("gateway", ["operate"])
    async with Keys.opened(postgres_url) as keys:
        await keys.add(key, None, None)
    assert not container.is_healthy()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{container.port}",
        headers={"Authorization": f"Bearer {key.token}"},
    ) as client:
        with container.running() as process:

            async def is_ready() -> bool:
                assert process.poll() is None, process.stderr and process.stderr.read()
                try:
                    return (await client.get("/readyz")).is_success
                except httpx.TransportError:
                    return False

            await eventually(is_ready)
            assert owner_of(process) in (container.user, None)
            assert container.is_healthy()
            assert (await client.put("/sessions/s")).is_success
            process.send_signal(signal.SIGTERM)

            async def is_draining() -> bool:
                return (await client.get("/readyz")).status_code == 503

            await eventually(is_draining)
            assert process.wait(30) == 0
    assert not container.is_healthy()
    assert list((folder / "empty").iterdir()) == []
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    assert await connection.fetchval("SELECT count(*) FROM session_router.workers") == 0
    await connection.close()
