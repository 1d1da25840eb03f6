"""A PostgreSQL URL's options, as asyncpg takes them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from sqlalchemy.engine import URL

from session_router.database.hosts import Address, addresses_of
from session_router.errors import InvalidDatabaseUrlError

_CONNECT_TIMEOUT_SEC: Final = 5.0
_LONGEST_TIMEOUT_SEC: Final = 3_600


@dataclass(frozen=True)
class AsyncpgOptions:
    """What a URL says beyond user, password and database.

    Attributes:
        addresses: where to connect, first to last; none: where asyncpg finds the server itself,
            by `PGHOST` or at the usual sockets.
        arguments: for `asyncpg.connect` and SQLAlchemy's dialect.
        tls: libpq's options of that kind, in its own words.
    """

    addresses: list[Address]
    arguments: dict[str, Any]
    tls: dict[str, str]

    @property
    def is_for_pooler(self) -> bool:
        """Whether no statement is kept, as behind a pooler of transactions."""
        return self.arguments.get("statement_cache_size") == 0

    @property
    def is_named(self) -> bool:
        """Whether it says what the server shall call its connections."""
        settings = self.arguments.get("server_settings", {})
        return "application_name" in settings or "application_name" in settings.get("options", "")


def asyncpg_options(url: URL) -> AsyncpgOptions:
    """Convert the options of a URL; no file is read.

    Raises:
        InvalidDatabaseUrlError: an option is not understood, or its value not acceptable.
    """
    query = _named_once(url)
    host, port = query.pop("host", url.host), query.pop("port", url.port)
    found = {name: _converted(url, name, value) for name, value in query.items()}
    arguments: dict[str, Any] = {"timeout": found.pop("connect_timeout", _CONNECT_TIMEOUT_SEC)}
    if settings := {name: found.pop(name) for name in _SETTINGS if name in found}:
        arguments["server_settings"] = settings
    tls = {name: found.pop(name) for name in _TLS if name in found}
    try:
        addresses = addresses_of(host, port) if host else []
    except ValueError as error:
        raise refused(url, str(error)) from None
    if len(addresses) > 1:
        arguments["target_session_attrs"] = "read-write"
    return AsyncpgOptions(addresses, _prepared_by_name(arguments | found), tls)


def refused(url: URL, fault_and_remedy: str) -> InvalidDatabaseUrlError:
    """The error about a URL, which is shown without what may be a password."""
    shown = url.set(query={}).render_as_string()
    return InvalidDatabaseUrlError(f"database URL {shown} {fault_and_remedy}.")


def _named_once(url: URL) -> dict[str, Any]:
    """The options by libpq's names; only hosts may come one by one, as SQLAlchemy has them."""
    found: dict[str, Any] = {}
    for given, value in url.query.items():
        name = _SAME.get(given, given)
        if name in found or (not isinstance(value, str) and name not in ("host", "port")):
            raise refused(url, f"has the option {name!r} twice; name it once")
        found[name] = value
    return found


def _converted(url: URL, name: str, value: str) -> Any:
    convert = _ARGUMENTS.get(name) or _TLS.get(name) or _SETTINGS.get(name)
    if convert is None:
        remedy = _INSTEAD.get(name, "remove it from the query")
        raise refused(url, f"has the option {name!r}, which is not taken; {remedy}")
    try:
        return convert(value)
    except ValueError as error:
        raise refused(url, f"has the option {name!r} with {value!r}; use {error}") from None


def _prepared_by_name(arguments: dict[str, Any]) -> dict[str, Any]:
    """Where no statements are to be kept, none gets a name.

    Behind a pooler that hands out connections by the transaction, a statement that was prepared
    under a name is on another connection when it is run. The unnamed one is prepared anew with
    each run, in the same message.
    """
    if 0 not in (arguments.get(cache) for cache in _CACHES):
        return arguments
    return arguments | dict.fromkeys(_CACHES, 0) | {"prepared_statement_name_func": lambda: ""}


def _text(value: str) -> str:
    return value


def _one_of(*values: str) -> Callable[[str], str]:
    def convert(value: str) -> str:
        if value not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return value

    return convert


def _count(value: str) -> int:
    if not (value.isascii() and value.isdecimal()):
        raise ValueError("a whole number, 0 or more")
    return int(value)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0
    if not (isfinite(seconds) and 0 < seconds <= _LONGEST_TIMEOUT_SEC):
        raise ValueError(f"seconds, above 0 and at most {_LONGEST_TIMEOUT_SEC}")
    return seconds


def _truth(value: str) -> bool:
    return _one_of("true", "false")(value) == "true"


_CACHES: Final = ("statement_cache_size", "prepared_statement_cache_size")
_SAME: Final = {"ssl": "sslmode", "dbname": "database"}
_INSTEAD: Final = {
    "timeout": "write connect_timeout",
    "server_settings": "write options=-c name=value",
    "service": "write the host, user and options that it stands for",
}
_ARGUMENTS: Final[dict[str, Callable[[str], Any]]] = {
    "connect_timeout": _seconds,
    "database": _text,
    "direct_tls": _truth,
    "gsslib": _one_of("gssapi", "sspi"),
    "krbsrvname": _text,
    "max_cacheable_statement_size": _count,
    "max_cached_statement_lifetime": _count,
    "passfile": _text,
    "password": _text,
    "prepared_statement_cache_size": _count,
    "statement_cache_size": _count,
    "target_session_attrs": _one_of(
        "any", "primary", "standby", "read-write", "read-only", "prefer-standby"
    ),
    "user": _text,
}
_SETTINGS: Final[dict[str, Callable[[str], Any]]] = {"application_name": _text, "options": _text}
_TLS_VERSION: Final = _one_of("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_TLS: Final[dict[str, Callable[[str], Any]]] = {
    "sslmode": _one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslrootcert": _text,
    "sslcert": _text,
    "sslkey": _text,
    "sslpassword": _text,
    "sslcrl": _text,
    "sslnegotiation": _one_of("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSION,
    "ssl_max_protocol_version": _TLS_VERSION,
}
