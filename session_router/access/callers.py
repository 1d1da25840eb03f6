"""Whom a request comes from: what a token says, looked up once in a while."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self, TypeVar

from session_router.access.keys import ApiKey, Scope, parts_of
from session_router.access.passes import Pass
from session_router.access.store import Keys
from session_router.errors import DeadlineExceededError
from session_router.settings import DEFAULT_DEADLINE_SEC
from session_router.text import check_free_text, clip

T = TypeVar("T")

_FRESH_SEC: Final = 2.0
"""A key that was revoked is refused within this time, and an answer of the database's."""
_KNOWN_LIMIT: Final = 1_000
_NOBODYS_HASH: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what for.

    Attributes:
        name: the key's name; None where no key is asked for.
        owner: whose sessions it is for; None: everybody's.
        key_id: which key it is; None likewise.
    """

    name: str | None
    scopes: frozenset[Scope]
    owner: str | None = None
    key_id: str | None = None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """Who has this key."""
        return cls(key.name, key.scopes, key.owner, key.key_id)

    def actor(self, given: str | None) -> str | None:
        """Who asks, for the trail: the key's name, to which the caller may add.

        Raises:
            InvalidValueError: what it adds is longer than an actor may be, or cannot be stored.
        """
        if self.name is None or given is None:
            return given or self.name
        return clip(f"{self.name}: {check_free_text(given, 'actor')}")


ANYBODY: Final = Caller(None, frozenset(Scope))
"""Who calls where there is no key yet."""


@dataclass(slots=True)
class _Known:
    """What was looked up.

    Attributes:
        key: one that nobody's secret opens, where there is none.
        caller: None where there is none.
        moment: the database's time then; `looked_up_at` is our clock's.
    """

    key: ApiKey
    caller: Caller | None
    moment: datetime
    looked_up_at: float
    fresh_until: float

    def now(self) -> datetime:
        return self.moment + timedelta(seconds=time.monotonic() - self.looked_up_at)


class Callers:
    """Tells callers by their tokens; what it has looked up it knows for two seconds.

    Args:
        keys: of the database that is served.
        deadline_sec: how long the database may take to tell, in seconds.
    """

    def __init__(self, keys: Keys, deadline_sec: float = DEFAULT_DEADLINE_SEC) -> None:
        self._keys = keys
        self._deadline_sec = deadline_sec
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, _Known] = OrderedDict()
        self._open_until = 0.0
        self._is_closed = False

    async def is_open(self) -> bool:
        """Whether there is no key at all, so that nobody is asked for one.

        Raises:
            DatabaseError, DeadlineExceededError: it cannot be known now.
        """
        if self._is_closed:
            return False
        if time.monotonic() >= self._open_until:
            await self._look_for_keys()
        return not self._is_closed

    async def caller_of(self, token: str) -> Caller | None:
        """Who a token belongs to; None where it is none, or is refused. Raises likewise.

        How long that takes tells nothing of a secret. Whatever is wrong with a token of the right
        form, a key is looked up by its id, one digest made, and two digests of one length
        compared in constant time; only then is it asked whether there is such a key, and whether
        its time is over. What a lookup that was spared tells is that an id is in use: ids are no
        secret, and stand in lists and in the trail of keys. A token of another form is refused
        at once, which tells what its sender sees.
        """
        parts = parts_of(token)
        if parts is None:
            return None
        key_id, secret = parts
        known = await self._known_of(key_id)
        return known.caller if known.key.opens(secret, known.now()) else None

    async def caller_of_pass(self, written: str) -> Caller | None:
        """Who a browser's pass belongs to; None and raises likewise."""
        given = Pass.read(written)
        if given is None:
            return None
        known = await self._known_of(given.key_id)
        now = known.now()
        is_open = known.key.opens(given.secret(known.key.secret_hash), now)
        return known.caller if is_open and now < given.expires_at else None

    async def pass_of(self, token: str, lasts: timedelta) -> str | None:
        """What a browser keeps in place of a key from now on; None and raises likewise.

        Args:
            lasts: for how long it lets in.
        """
        parts = parts_of(token)
        if parts is None or await self.caller_of(token) is None:
            return None
        known = await self._known_of(parts[0])
        return Pass.of(*parts, known.now() + lasts).written()

    async def _known_of(self, key_id: str) -> _Known:
        known = self._known.get(key_id) or self._unknown.get(key_id)
        if known is None or time.monotonic() >= known.fresh_until:
            known = await self._look_up(key_id, known)
        return known

    async def _look_for_keys(self) -> None:
        """Ask whether there are any; who comes meanwhile makes do with what was known."""
        if self._open_until:
            self._open_until = time.monotonic() + _FRESH_SEC
        try:
            self._is_closed = await self._in_time(self._keys.are_there())
        except BaseException:
            self._open_until = 0.0
            raise
        self._open_until = time.monotonic() + _FRESH_SEC

    async def _look_up(self, key_id: str, stale: _Known | None) -> _Known:
        """Ask the database; who comes meanwhile makes do with what was known."""
        looked_up_at = time.monotonic()
        if stale is not None:
            stale.fresh_until = looked_up_at + _FRESH_SEC
        try:
            key, moment = await self._in_time(self._keys.find(key_id))
        except BaseException:
            if stale is not None:
                stale.fresh_until = 0.0
            raise
        caller = Caller.of(key) if key is not None else None
        fresh_until = looked_up_at + _FRESH_SEC
        known = _Known(key or _nobodys(key_id, moment), caller, moment, looked_up_at, fresh_until)
        self._remember(key_id, known)
        return known

    def _remember(self, key_id: str, known: _Known) -> None:
        """Ids that nobody has apart: a flood of them pushes out none that somebody has."""
        kept, other = self._known, self._unknown
        if known.caller is None:
            kept, other = other, kept
        other.pop(key_id, None)
        kept[key_id] = known
        kept.move_to_end(key_id)
        while len(kept) > _KNOWN_LIMIT:
            kept.popitem(last=False)

    async def _in_time(self, answer: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self._deadline_sec):
                return await answer
        except TimeoutError:
            raise DeadlineExceededError.nothing_done(self._deadline_sec) from None


def _nobodys(key_id: str, now: datetime) -> ApiKey:
    return ApiKey(key_id, "", _NOBODYS_HASH, frozenset(), now)
