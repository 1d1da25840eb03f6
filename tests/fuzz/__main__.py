"""`python -m tests.fuzz`: requests drawn from the OpenAPI document, good ones and bad ones.

Schemathesis, from an environment of its own, asks a service without keys, and one with keys on
PostgreSQL as callers with each scope, with all, and with none. Every answer must be one that the
document tells; none may be a failure of the service; in the end the conservation laws must hold,
and the services' logs tell of no crash. Ends with 1 where something was found.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docs import openapi
from session_router import SQLAlchemySessionRepository
from session_router.access import Keys, NewKey, Scope
from tests.http.service import Service
from tests.support.databases import SqliteDatabases, postgres_databases
from tests.support.laws import violations

_SCHEMATHESIS: Final = Path("build/fuzz/bin/st")
_CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
_REQUEST_SEC: Final = 30
_RUN_SEC: Final = 1_800


@dataclass(frozen=True)
class Caller:
    """Who asks: one with a key of these scopes, or without a key.

    Attributes:
        phases: what is drawn; the coverage of each constraint is looked at once.
    """

    name: str
    scopes: tuple[str, ...] = ()
    phases: str = "examples,fuzzing"


_GUARDED: Final = (
    Caller("all scopes", tuple(Scope), "examples,coverage,fuzzing"),
    *(Caller(scope, (scope,)) for scope in Scope),
    Caller("no key"),
)


@dataclass(frozen=True)
class _Run:
    """What all callers have in common."""

    folder: Path
    examples: int
    seed: int


def main() -> int:
    parser = argparse.ArgumentParser(description="Requests of all kinds, by the OpenAPI document.")
    parser.add_argument("--examples", type=int, default=50, help="how many for each operation")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    options = parser.parse_args()
    _say(f"--examples {options.examples} --seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder, postgres_databases() as databases:
        run = _Run(Path(folder), options.examples, options.seed)
        sqlite_url = SqliteDatabases(run.folder).fresh(run.folder)
        found = _ask_open(run, sqlite_url)
        with databases.fresh() as url:
            found += _ask_guarded(run, url)
    _say("nothing found" if not found else f"found: {', '.join(found)}")
    return 1 if found else 0


def _ask_open(run: _Run, url: str) -> list[str]:
    """Ask a service without any key, for which the document's demand of one says nothing."""
    document = json.loads(openapi.document())
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    with _served(run, url) as (service, found):
        found.extend(_ask(run, service, document, Caller("nobody has a key"), []))
    return found


def _ask_guarded(run: _Run, url: str) -> list[str]:
    tokens = asyncio.run(_tokens(url))
    document = json.loads(openapi.document())
    with _served(run, url) as (service, found):
        for caller in _GUARDED:
            token = tokens.get(caller.name)
            header = [] if token is None else ["--header", f"Authorization: Bearer {token}"]
            found.extend(_ask(run, service, document, caller, header))
    return found


async def _tokens(url: str) -> dict[str, str]:
    """A key for each caller that has scopes, by its name."""
    made = {c.name: NewKey.of(c.name, c.scopes) for c in _GUARDED if c.scopes}
    async with Keys.opened(url) as keys:
        for key in made.values():
            await keys.add(key, None, None)
    return {name: key.token for name, key in made.items()}


@contextmanager
def _served(run: _Run, url: str) -> Iterator[tuple[Service, list[str]]]:
    """A service, and what is found of it; its log and the laws are looked at in the end."""
    found: list[str] = []
    with Service.running(run.folder, database_url=url) as service:
        yield service, found
        if "Traceback" in service.log:
            _say(service.log)
            found.append("a crash in the log")
    found += asyncio.run(_broken_laws(url))


async def _broken_laws(url: str) -> list[str]:
    repository = SQLAlchemySessionRepository.from_url(url)
    try:
        return [str(violation) for violation in await violations(repository)]
    finally:
        await repository.close()


def _ask(
    run: _Run, service: Service, document: object, caller: Caller, header: list[str]
) -> list[str]:
    """Ask as one caller. Returns its name where something was found, which is printed."""
    described = run.folder / "openapi.json"
    described.write_text(json.dumps(document))
    done = subprocess.run(
        [
            *(_SCHEMATHESIS.absolute(), "--config-file", _CONFIG, "run", described),
            *("--url", f"http://{service.host}:{service.port}", *header),
            *("--phases", caller.phases, "--max-examples", str(run.examples)),
            *("--seed", str(run.seed), "--request-timeout", str(_REQUEST_SEC)),
            *("--continue-on-failure", "--no-color", "--no-shrink", "--warnings", "off"),
        ],
        cwd=run.folder,
        capture_output=True,
        text=True,
        timeout=_RUN_SEC,
        check=False,
    )
    tested = [line.strip() for line in done.stdout.splitlines() if "generated" in line]
    _say(f"{caller.name}: {', '.join(tested) or 'no test was made'}")
    if done.returncode == 0 and tested:
        return []
    _say(done.stdout + done.stderr)
    return [caller.name]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
