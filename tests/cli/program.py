"""The program `session-router`, called as a person or a script calls it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from session_router.cli import main


@dataclass(frozen=True)
class Done:
    """What a call came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def rows(self) -> list[list[str]]:
        """The lines of a listing, without its header, in cells."""
        return [line.split("\t") for line in self.out.splitlines()[1:]]


class Program:
    """Calls the program in `folder`, with none of the machine's own settings.

    In this process, where the way from the arguments to the exit code is the same and a call
    takes a tenth of the time; `run_process` and `process` are for what is about processes.
    """

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.chdir(folder)
        for name in _ours(os.environ):
            monkeypatch.delenv(name)

    def __call__(self, *arguments: str) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["session-router", *arguments])
        self._capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        out, err = self._capsys.readouterr()
        return Done(code, out, err)

    async def call(self, *arguments: str) -> Done:
        """The same from within a running event loop."""
        return await asyncio.to_thread(self, *arguments)

    def run_process(self, *arguments: str, **settings: str) -> Done:
        with self.process(*arguments, **settings) as process:
            out, err = process.communicate(timeout=60)
        return Done(process.returncode, out, err)

    def run_script(self, script: str, **settings: str) -> Done:
        """The same for a script that calls the program."""
        with self._python("-c", script, **settings) as process:
            out, err = process.communicate(timeout=60)
        return Done(process.returncode, out, err)

    def process(
        self, *arguments: str, **settings: str
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        """`python -m session_router ...`, killed at the latest when the block ends."""
        return self._python("-m", "session_router", *arguments, **settings)

    @contextmanager
    def _python(self, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, **{f"SESSION_ROUTER_{k.upper()}": v for k, v in settings.items()}},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def _ours(names: Any) -> list[str]:
    return [name for name in names if name.startswith("SESSION_ROUTER_") and "_TEST_" not in name]
