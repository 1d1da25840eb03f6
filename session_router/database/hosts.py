"""The hosts of a PostgreSQL URL: one, or several of which one takes the connection."""

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import asyncpg

from session_router.errors import DatabaseUnavailableError
from session_router.logs import explain

if TYPE_CHECKING:
    Driver = asyncpg.Connection[asyncpg.Record]

Address = tuple[str, int]

_PORT: Final = 5432
_HOST_AND_PORT: Final = re.compile(r"(?:\[([^]]+)\]|([^:]+))(?::(\d*))?")
# libpq's rule: a host that refuses who we are, or what we want, ends the search.
_TRY_THE_NEXT: Final = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.TargetServerAttributeNotMatched,
)


def addresses_of(hosts: Any, ports: Any) -> list[Address]:
    """Hosts and their ports, in each of the ways of libpq and SQLAlchemy to write them.

    Args:
        hosts: `host`, `host:port`, `[::1]:port`, several of them with commas or as a sequence.
        ports: one for all that name none, or one for each, likewise.

    Raises:
        ValueError: they are not acceptable; the text says what is, and what would be.
    """
    specs, common = _listed(hosts), [_port(port) for port in _listed(ports)] or [_PORT]
    if len(common) == 1:
        common *= len(specs)
    if len(common) != len(specs):
        raise ValueError(
            f"has {len(specs)} host(s), but {len(common)} ports; name one port, or one for each"
        )
    return [_address(spec, port) for spec, port in zip(specs, common, strict=True)]


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    parts = [value] if isinstance(value, str | int) else value
    return [one for part in parts for one in str(part).split(",")]


def _address(spec: str, port: int) -> Address:
    is_bare_ipv6 = spec.count(":") > 1 and not spec.startswith("[")
    if spec.startswith("/") or is_bare_ipv6:
        return spec, port
    matched = _HOST_AND_PORT.fullmatch(spec)
    if matched is None:
        raise ValueError(f"has the host {spec!r}; write host:port, or [address]:port for IPv6")
    return unquote(matched[1] or matched[2]), _port(matched[3]) if matched[3] else port


def _port(port: str) -> int:
    if not port:
        return _PORT
    if not (port.isdecimal() and 1 <= int(port) <= 65_535):
        raise ValueError(f"has port {port}; use 1 to 65535")
    return int(port)


class OneOf:
    """Connects to the first of several hosts that is there and is what is wanted.

    asyncpg has one time limit for all of them, which a silent first one would use up. Here each
    has the limit for itself, and one that failed, or was given up by its caller, comes last from
    then on: the next connection does not wait for it again.

    Args:
        addresses: of the hosts, first to last.
        connect: to one of them; `asyncpg.connect`, or what takes the same.
    """

    def __init__(
        self, addresses: list[Address], connect: Callable[..., Awaitable["Driver"]]
    ) -> None:
        self._addresses = addresses
        self._connect = connect

    async def connect(self, *, target_session_attrs: str, **options: Any) -> "Driver":
        """Connect; the options are those of `asyncpg.connect`.

        Raises:
            DatabaseUnavailableError: none of them will do.
        """
        met = []
        prefers_standby = target_session_attrs == "prefer-standby"
        for wanted in ("standby", "any") if prefers_standby else (target_session_attrs,):
            for address in list(self._addresses):
                try:
                    return await self._connect_to(address, wanted, options)
                except _TRY_THE_NEXT as error:
                    met.append(f"{address[0]}:{address[1]}: {_said(error, wanted)}")
        raise DatabaseUnavailableError(
            f"none of the database's hosts can be used ({'; '.join(met)}); nothing was written. "
            "Check the servers and the database URL, then try again.",
            nothing_written=True,
        )

    async def _connect_to(self, address: Address, wanted: str, options: dict[str, Any]) -> "Driver":
        host, port = address
        try:
            return await self._connect(host=host, port=port, target_session_attrs=wanted, **options)
        except BaseException:
            self._addresses.remove(address)
            self._addresses.append(address)
            raise


def _said(error: Exception, wanted: str) -> str:
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return f"is not {wanted}"
    return explain(error)
