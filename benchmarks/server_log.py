"""The statements that a server was sent, counted from its own log."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy.engine import make_url

from benchmarks.bench import connected

_PREFIX: Final = "<%d %p> "
_ENDS: Final = ("COMMIT", "ROLLBACK")
_LINE: Final = re.compile(r"<(\S*) (\d+)> LOG:  (?:statement|execute [^:]*): (.*)")


@dataclass(frozen=True)
class Statement:
    """A statement on one line, and the process id of the backend that was sent it."""

    backend: int
    text: str


async def log_statements(url: str) -> None:
    """Have the server log every statement from whoever connects to this database from now on."""
    async with connected(url) as connection:
        await connection.execute(f"ALTER SYSTEM SET log_line_prefix = '{_PREFIX}'")
        await connection.execute("SELECT pg_reload_conf()")
        database = make_url(url).database
        await connection.execute(f"ALTER DATABASE {database} SET log_statement = 'all'")


def statements(log: str, url: str) -> list[Statement]:
    """Those that the log tells of for one database; each BEGIN and COMMIT is one."""
    database = make_url(url).database
    return [
        Statement(int(match[2]), " ".join(match[3].split()))
        for line in _joined(log)
        if (match := _LINE.match(line)) and match[1] == database
    ]


def transactions(found: Iterable[Statement]) -> Iterator[list[str]]:
    """The statements' texts, those of one transaction together."""
    under_way: dict[int, list[str]] = {}
    for statement in found:
        transaction = under_way.pop(statement.backend, [])
        transaction.append(statement.text)
        if transaction[0].startswith("BEGIN") and not statement.text.startswith(_ENDS):
            under_way[statement.backend] = transaction
        else:
            yield transaction
    yield from under_way.values()


def _joined(log: str) -> list[str]:
    """The log's entries: the further lines of a statement begin with a tab."""
    return log.replace("\n\t", " ").splitlines()
