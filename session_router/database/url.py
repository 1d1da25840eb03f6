"""Database URLs: which this package takes, and what is wrong with others."""

import re
from typing import Final

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from session_router.database.asyncpg_options import asyncpg_options, refused
from session_router.errors import InvalidDatabaseUrlError

_DRIVERS: Final = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}
# As libpq has them, and SQLAlchemy has not: postgresql://user:password@host1:5432,host2:5432/name
_SEVERAL_HOSTS: Final = re.compile(
    r"(?P<before>postgres[\w+]*://(?:[^:/?@]*(?::[^@]*)?@)?)"
    r"(?P<hosts>[^/?@]*,[^/?@]*)(?P<after>(?:[/?].*)?)",
    re.DOTALL,
)


def parse_url(url: str | URL) -> URL:
    """Parse a database URL and put in the driver that this package uses.

    Accepts `postgresql://`, `postgres://` and `sqlite:///`, with or without the driver. Of
    PostgreSQL's it takes what libpq does, several hosts included, as far as asyncpg can.

    Raises:
        InvalidDatabaseUrlError: it cannot be parsed, names another database, or has an option
            that is not understood. The message holds no password.
    """
    try:
        parsed = _parsed(url)
    except (ArgumentError, ValueError):
        raise InvalidDatabaseUrlError(
            "the database URL cannot be parsed (it is not shown, it may hold a password); write "
            "postgresql://user:password@host:5432/database or sqlite:///path/to/file.db."
        ) from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise refused(parsed, f"names {parsed.drivername!r}; use postgresql:// or sqlite://")
    if driver.startswith("sqlite"):
        _check_sqlite(parsed)
    else:
        asyncpg_options(parsed)
    return parsed.set(drivername=driver)


def _parsed(url: str | URL) -> URL:
    several = _SEVERAL_HOSTS.fullmatch(url) if isinstance(url, str) else None
    if several is None:
        return make_url(url)
    parsed = make_url(several["before"] + several["after"])
    return parsed.update_query_dict({"host": several["hosts"]})


def _check_sqlite(url: URL) -> None:
    database = url.database or ":memory:"
    if url.host or url.username or url.port:
        raise refused(
            url,
            "has a host, which SQLite has not; write three slashes for a relative path "
            "(sqlite:///file.db), four for an absolute one",
        )
    if database == ":memory:":
        raise refused(
            url,
            "names a database in memory, which no second connection would see; name a "
            "file (sqlite:///file.db), in a temporary folder if need be, or use "
            "InMemorySessionRepository",
        )
    if database.startswith("file:") or "\0" in database:
        raise refused(url, "has no plain path of a file; write sqlite:///path/to/file.db")
    for name in url.query:
        raise refused(
            url, f"has the option {name!r}, and SQLite's are not the URL's to set; remove it"
        )
