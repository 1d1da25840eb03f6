"""Where a hook may be told: not in a private network, unless that was allowed.

The name is looked up once, and the request goes to the very address that was checked: a name whose
answer changes in between (DNS rebinding) leads nowhere else. Redirections are not followed.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from session_router.errors import InvalidValueError, SessionRouterError

# RFC 6052 and RFC 8215: what a translator makes of addresses of IPv4.
_NAT64: Final = IPv6Network("64:ff9b::/96")
_OWN_NAT64: Final = IPv6Network("64:ff9b:1::/48")


class AddressRefusedError(SessionRouterError):
    """A hook's host is at a private address, or at none."""


async def address_of(host: str, port: int, *, allows_private: bool) -> str:
    """An address of a host that may be asked.

    Args:
        port: at which.
        allows_private: whether any address will do.

    Raises:
        AddressRefusedError: all of its addresses are private, or it has none.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise AddressRefusedError(f"the host {host!a} was not found: {error.strerror}.") from error
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    for address in addresses:
        if allows_private or is_public(address):
            return address
    raise AddressRefusedError(
        f"the host {host!a} is at the private address {addresses[0]}; name a public one, or add "
        "the hook with --allow-private."
    )


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's, and no IPv6 way to say a private one of IPv4."""
    try:
        ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError as error:  # what a resolver gives is an address
        raise InvalidValueError(f"{address!a} is no address.") from error
    if isinstance(ip, IPv6Address):
        if ip in _OWN_NAT64:
            return False
        ip = _inside(ip) or ip
    return ip.is_global and not ip.is_multicast


def _inside(ip: IPv6Address) -> IPv4Address | None:
    """The address of IPv4 that an address of IPv6 leads to, if it is such a one."""
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
