"""What is settled when a PostgreSQL connection of our own opens: how soon a silent end shows.

A host that vanishes sends no goodbye. Its server process would hold what it had locked until the
kernel gives up, after two hours; and a client would wait as long for a server that is gone.
"""

import socket
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

IDLE_IN_TRANSACTION_SEC: Final = 60
"""Longer than any operation's deadline should be; ours are idle in a transaction for moments."""

_SILENCE_SEC: Final = 30
_PROBES: Final = 3

# A stricter setting of the role's or the database's is left as it is.
_SETTINGS: Final = f"""
    SELECT set_config(name, value, false)
    FROM (VALUES ('idle_in_transaction_session_timeout', '{IDLE_IN_TRANSACTION_SEC}s'))
        AS wanted (name, value)
    WHERE current_setting(name)::interval NOT BETWEEN '1 ms' AND value::interval
    UNION ALL
    SELECT set_config(name, value, false)
    FROM (VALUES
        ('tcp_keepalives_idle', '{_SILENCE_SEC // 2}'),
        ('tcp_keepalives_interval', '{_SILENCE_SEC // 2 // _PROBES}'),
        ('tcp_keepalives_count', '{_PROBES}'),
        ('tcp_user_timeout', '{_SILENCE_SEC * 1_000}')
    ) AS wanted (name, value)
    WHERE current_setting(name)::integer NOT BETWEEN 1 AND value::integer
"""  # noqa: S608 - constants
_SOCKET_OPTIONS: Final = (
    ("SO_KEEPALIVE", socket.SOL_SOCKET, 1),
    ("TCP_KEEPIDLE", socket.IPPROTO_TCP, _SILENCE_SEC // 2),
    ("TCP_KEEPINTVL", socket.IPPROTO_TCP, _SILENCE_SEC // 2 // _PROBES),
    ("TCP_KEEPCNT", socket.IPPROTO_TCP, _PROBES),
    ("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, _SILENCE_SEC * 1_000),
)


def notice_silence(engine: AsyncEngine, *, is_pooler: bool) -> None:
    """Have both ends of each new connection notice within half a minute that the other is gone.

    Args:
        is_pooler: whether a pooler that hands out connections by the transaction is in between.
            What is set there would become its other clients' too, so only our end is told.
    """

    def on_connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        adapted: Any = connection
        _watch(adapted.driver_connection)
        if not is_pooler:
            adapted.run_async(lambda driver: driver.fetch(_SETTINGS))

    event.listen(engine.sync_engine, "connect", on_connect)


def _watch(driver: Any) -> None:
    """asyncpg does not give its socket away, so this does without where it is kept elsewhere."""
    transport = getattr(driver, "_transport", None)
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for name, level, value in _SOCKET_OPTIONS:
        with suppress(OSError):  # another system may know an option and not take it
            if hasattr(socket, name):
                sock.setsockopt(level, getattr(socket, name), value)
