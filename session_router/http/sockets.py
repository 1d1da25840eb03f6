"""The sockets that the service listens on."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from session_router.errors import ServeError

BACKLOG: Final = 2_048
"""How many connections may wait to be accepted."""
_NOT_HERE: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


@contextmanager
def listening_sockets(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Listen on every address of `host` within the block.

    Args:
        port: 0 takes a free one.

    Raises:
        ServeError: the host has no address here, or the port is not to be had.
    """
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        refusal: ServeError | None = None
        for family, address in _addresses(host, port):
            # What one address was given for port 0, the others take too.
            wanted = sockets[0].getsockname()[1] if sockets else port
            try:
                listener = socket.create_server((address, wanted), family=family, backlog=BACKLOG)
            except OSError as error:
                refusal = _refusal(address, wanted, error)
                # `localhost` often names ::1 where there is no IPv6: one that is here will do.
                if error.errno not in _NOT_HERE:
                    raise refusal from error
            else:
                sockets.append(stack.enter_context(listener))
                # What is accepted inherits it, and asyncio does not know that these are TCP: a body
                # behind its header would wait 40 ms for the client's delayed acknowledgement.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if refusal and not sockets:
            raise refusal
        yield sockets


def url_of(listener: socket.socket) -> str:
    """The URL of what a socket serves."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ServeError(
            f"the host {host!a} cannot be resolved ({error}); set SESSION_ROUTER_HTTP_HOST to an "
            "address of this machine, such as 127.0.0.1."
        ) from error
    return list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))


def _refusal(host: str, port: int, error: OSError) -> ServeError:
    if error.errno in _NOT_HERE:
        remedy = "set SESSION_ROUTER_HTTP_HOST to an address of this machine, such as 127.0.0.1"
    else:
        remedy = "stop what holds the port, or set SESSION_ROUTER_HTTP_PORT to another (0: any)"
    said = os.strerror(error.errno) if error.errno else str(error)
    return ServeError(f"cannot listen on {host} port {port} ({said}); {remedy}.")
