"""Whom a request may come from: no web page of another site reads here, or changes anything.

A browser carries any page's requests to whatever the machine reaches, loopback included. Two
things tell such a request apart. A page whose own name was pointed at this service's address (DNS
rebinding) sends that name as `Host`. All other pages are of another origin, which browsers say.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, Self

from starlette.types import ASGIApp, Receive, Scope, Send

from session_router import problems
from session_router.errors import InvalidSettingError
from session_router.http.fields import all_fields
from session_router.origins import other_site

_AUTHORITY: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{0,5})?", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9._-]+", re.ASCII)
_NOT_PUBLIC: Final = (".local", ".internal")
_HOSTS_REMEMBERED: Final = 100
_READING: Final = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Hosts:
    """The values of `Host` that the service answers to; the port does not matter.

    An address is always one of them, since a page that was rebound sends a name, and so are
    `localhost` and what ends in `.localhost`, which no DNS is asked for.

    Attributes:
        names: further names, in lower case.
        not_public: whether names without a dot and those of private networks are accepted, which
            nobody outside can point anywhere.
        any_at_all: whether everything is accepted.
    """

    names: frozenset[str] = frozenset()
    not_public: bool = False
    any_at_all: bool = False

    @classmethod
    def of(cls, allowed: str | None, listens_as: str, addresses: Iterable[str]) -> Self:
        """What `SESSION_ROUTER_HTTP_ALLOWED_HOSTS` and the addresses listened on make of it.

        Beyond loopback, whoever is in the network can speak to the service in any case.

        Raises:
            InvalidSettingError: an entry is no name of a host.
        """
        entries = [entry.strip().casefold() for entry in (allowed or "").split(",")]
        names = {entry.rstrip(".") for entry in entries if entry not in ("", "*")}
        for name in names:
            if not _NAME.fullmatch(name):
                raise InvalidSettingError(
                    f"SESSION_ROUTER_HTTP_ALLOWED_HOSTS names {name!a}; write names of hosts "
                    "without scheme and port, such as router.example.com, with commas between "
                    "them, or * for all."
                )
        return cls(
            frozenset({*names, listens_as.casefold()}),
            not_public=not all(ip_address(address).is_loopback for address in addresses),
            any_at_all="*" in entries,
        )

    def accepts(self, given: str) -> bool:
        """Whether the service answers to this value of `Host`."""
        if self.any_at_all:
            return True
        authority = _AUTHORITY.fullmatch(given.casefold())
        if authority is None:
            return False
        name = authority[1] or authority[2].removesuffix(".")
        return _is_address(name) or self._accepts_name(name)

    def _accepts_name(self, name: str) -> bool:
        if name == "localhost" or name.endswith(".localhost") or name in self.names:
            return True
        return self.not_public and ("." not in name or name.endswith(_NOT_PUBLIC))


ANY_HOST: Final = Hosts(any_at_all=True)


class Origins:
    """ASGI middleware: refuses what a page of another site has sent.

    A client that is no browser sends neither `Sec-Fetch-Site` nor `Origin`, and is served. What
    only reads is served as well: no header allows another site's page to see the answer.

    Args:
        app: what is inside.
        hosts: the values of `Host` that are answered to.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._accepts = lru_cache(maxsize=_HOSTS_REMEMBERED)(hosts.accepts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await problems.problem_response(*refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[problems.ProblemKind, str] | None:
        hosts = all_fields(scope, b"host")
        for host in hosts:
            if not self._accepts(host):
                return problems.WRONG_HOST, (
                    f"the service does not answer to the host {host[:80]!a}; ask for its address, "
                    "or name the host in SESSION_ROUTER_HTTP_ALLOWED_HOSTS where it runs."
                )
        if scope["method"] not in _READING and (site := _other_site(scope, hosts)) is not None:
            return problems.CROSS_SITE, (
                f"a page of another site ({site[:80]!a}) may not change anything here; send the "
                "request from a program, or from a page of the same origin."
            )
        return None


def _other_site(scope: Scope, hosts: Collection[str]) -> str | None:
    return other_site(hosts, all_fields(scope, b"origin"), all_fields(scope, b"sec-fetch-site"))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
