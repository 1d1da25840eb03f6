"""The names that streams get where their callers give them none."""

import time
from secrets import randbits
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def new_stream_id() -> UUID:
    """A new name, of version 7 in RFC 9562: the time in milliseconds, then 74 bits of chance.

    The trail has an index of the names. Those that follow each other in time lie together there,
    so that the index of a long trail costs a registration no more than that of a short one.
    """
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    return UUID(int=milliseconds << 80 | _VERSION_7 | randbits(12) << 64 | _VARIANT | randbits(62))
