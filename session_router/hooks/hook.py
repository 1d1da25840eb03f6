"""A hook: who is told of which ends."""

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self
from urllib.parse import urlsplit

from session_router.errors import InvalidValueError
from session_router.events import EventName, SessionEvent
from session_router.session import check_owner
from session_router.text import check_name

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_URL_LIMIT: Final = 2_000


class HookEvent(StrEnum):
    """What a hook may be told of."""

    SESSION_ENDED = "session.ended"
    SESSION_EXPIRED = "session.expired"
    SESSION_REPLACED = "session.replaced"
    STREAM_FINISHED = "stream.finished"
    SIGNAL_SETTLED = "signal.settled"

    @property
    def in_trail(self) -> EventName:
        """The trail's word for it."""
        return EventName(self.replace(".", "_"))

    @classmethod
    def of(cls, event: EventName) -> Self:
        """The hooks' word for an event of the trail."""
        return cls(event.replace("_", ".", 1))


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook as the database has it.

    Attributes:
        hook_id: names it; of a callback, the name that its program gave it.
        url: where it is told; None: a program carries it out itself.
        secret: signs what is sent, in the form of Standard Webhooks: `whsec_` and base64.
        events: what it is told of.
        owner: only of this owner's sessions; None: of everybody's.
        allows_private: whether its address may be a private one.
        created_at: since when it is told.
    """

    hook_id: str
    url: str | None
    secret: str | None
    events: frozenset[HookEvent]
    owner: str | None
    allows_private: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewHook:
    """A hook that is to be stored; the attributes are those of `Hook`."""

    hook_id: str
    url: str | None
    secret: str | None
    events: frozenset[HookEvent]
    owner: str | None
    allows_private: bool = False

    @classmethod
    def to_url(
        cls,
        url: str,
        events: Iterable[str],
        owner: str | None = None,
        *,
        allows_private: bool = False,
    ) -> Self:
        """One that is told by requests, with an id and a secret at random.

        Args:
            url: http or https, at most 2,000 characters, without a user's name and a fragment.
            events: one at least of `HookEvent`.
            owner: see `Hook`; 1 to 255 characters.
            allows_private: see `Hook`.

        Raises:
            InvalidValueError: the URL or the owner is not acceptable, or an event is none.
        """
        secret = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
        return cls(
            hook_id=secrets.token_hex(_ID_BYTES),
            url=_check_url(url),
            secret=f"whsec_{secret}",
            events=events_of(events),
            owner=check_owner(owner),
            allows_private=allows_private,
        )

    @classmethod
    def to_callback(cls, name: str, events: Iterable[str], owner: str | None = None) -> Self:
        """One that a program carries out itself, under a name of its own.

        Raises:
            InvalidValueError: the name or the owner is not acceptable, or an event is none.
        """
        return cls(
            hook_id=check_name(name, "the callback's name", InvalidValueError),
            url=None,
            secret=None,
            events=events_of(events),
            owner=check_owner(owner),
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event that one hook is owed.

    Attributes:
        attempts: how often it was tried, this time included.
        event: None where it has left the trail meanwhile.
    """

    delivery_id: int
    hook: Hook
    attempts: int
    event: SessionEvent | None


@dataclass(frozen=True, slots=True)
class DeadDelivery:
    """One that was given up.

    Attributes:
        last_error: what the last attempt met.
        dead_at: when it was given up.
    """

    delivery_id: int
    hook_id: str
    event_id: int
    session_id: str
    attempts: int
    last_error: str
    dead_at: datetime


def events_of(names: Iterable[str]) -> frozenset[HookEvent]:
    """Events that were given by name.

    Raises:
        InvalidValueError: there is none, or one is unknown.
    """
    given = [*names]
    unknown = [name for name in given if name not in HookEvent.__members__.values()]
    if unknown or not given:
        said = f"a hook cannot be told of {unknown[0]!a}" if unknown else "no event is given"
        raise InvalidValueError(f"{said}; give one or more of {', '.join(HookEvent)}.")
    return frozenset(map(HookEvent, given))


def stored(events: Iterable[HookEvent]) -> str:
    """Events as the database has them: the trail's words, in the order of their definition."""
    given = frozenset(events)
    return " ".join(event.in_trail for event in HookEvent if event in given)


def read_back(events: str) -> frozenset[HookEvent]:
    """What `stored` has made."""
    return frozenset(HookEvent.of(EventName(name)) for name in events.split())


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_good = (
            len(url) <= _URL_LIMIT
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not (parts.username or parts.password or parts.fragment)
            and url.isascii()
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        is_good = False
    if not is_good:
        raise InvalidValueError(
            f"{url[:80]!a} cannot be a hook's URL; give one of http or https, of at most "
            f"{_URL_LIMIT:,} ASCII characters, without a user's name, blanks and a fragment."
        )
    return url
