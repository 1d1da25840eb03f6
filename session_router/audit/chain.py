"""Which seals are authentic: made with the erasure key, each chained to one before.

The database cannot tell, as it never has the key. A row that somebody put among the seals, or
changed, is told of and passed over: it ends neither sealing nor erasure.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Final

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.laws import Violation
from session_router.audit.trail import BEFORE_ALL, Trail
from session_router.errors import InvalidSettingError
from session_router.pseudonyms import ErasureKey

_FIRST_LINK: Final = ""
_DIGEST: Final = re.compile("[0-9a-f]{64}")


class Seal(BaseModel):
    """One row of `audit_seals`.

    Attributes:
        seal_id: 1, 2, 3 ...; numbers that a forged row had taken are left out.
        first_event_id, last_event_id: the range, which ends where the next one begins.
        events: how many events it had.
        digest: over these events, in their erased form.
        chain: over all of this and the chain of the seal before, by the erasure key.
        key_id: tells which erasure key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seal_id: int
    first_event_id: int
    last_event_id: int
    events: int
    digest: str
    chain: str
    key_id: str
    sealed_at: datetime

    def linked(self, link: str, key: ErasureKey) -> str:
        """What `chain` has to be behind a seal whose own is `link`."""
        told = self.model_dump(mode="json", exclude={"chain", "sealed_at"})
        told["sealed_at"] = self.sealed_at.isoformat(timespec="microseconds")
        return key.mac("seal", json.dumps([link, *(told[name] for name in sorted(told))]))

    def is_first(self, key: ErasureKey) -> bool:
        """Whether it follows no other."""
        return self.chain == self.linked(_FIRST_LINK, key)

    def refused(self, why: str) -> Violation:
        """What is said of a seal that does not hold."""
        span = f"{self.seal_id} (events {self.first_event_id} to {self.last_event_id})"
        return Violation("seal", "seal", span, {"fault": why})

    @property
    def is_plausible(self) -> bool:
        """Whether it may be a seal of some key."""
        return bool(_DIGEST.fullmatch(self.digest) and _DIGEST.fullmatch(self.chain))


@dataclass
class Chain:
    """The seals as they are there, told apart.

    Attributes:
        made: all of them, by number.
        line: those that hold, each with a range behind the one before; the next seal follows
            the last.
        faults: a violation for each of the others.
    """

    made: list[Seal]
    line: list[Seal] = field(default_factory=list)
    faults: list[Violation] = field(default_factory=list)
    _newest_id: int = 0

    @property
    def sealed_until(self) -> int:
        return self.line[-1].last_event_id if self.line else BEFORE_ALL

    @property
    def link(self) -> str:
        return self.line[-1].chain if self.line else _FIRST_LINK

    @property
    def highest_id(self) -> int | None:
        """The highest number that any seal has, whether it holds or not."""
        return max((each.seal_id for each in self.made), default=None)

    def next_id(self) -> int:
        """The number of the next seal: behind all authentic ones, and free."""
        taken = {each.seal_id for each in self.made}
        return next(number for number in count(self._newest_id + 1) if number not in taken)

    def add(self, each: Seal) -> None:
        """Add an authentic seal. Where its range begins, those before it end."""
        self._drop_behind(each.first_event_id - 1, "a later seal covers its range")
        self.line.append(each)
        self._newest_id = each.seal_id

    def append(self, fresh: Seal) -> None:
        """Add the seal that was made just now."""
        self.made.append(fresh)
        self.add(fresh)

    def end_at(self, last_number: int) -> None:
        """Take away what ends above the numbers that were given out: it would never be passed."""
        self._drop_behind(last_number, "its range ends above the newest number given out")

    def _drop_behind(self, event_id: int, why: str) -> None:
        while self.line and self.line[-1].last_event_id > event_id:
            self.faults.append(self.line.pop().refused(why))


async def chain(trail: Trail, conn: AsyncConnection, key: ErasureKey) -> Chain:
    """The seals that are there, told apart by the erasure key.

    Raises:
        InvalidSettingError: they were made with another key.
    """
    found = told_apart(await seals(trail, conn), key)
    found.end_at(await trail.last_number(conn))
    return found


async def seals(trail: Trail, conn: AsyncConnection) -> list[Seal]:
    """Every row of `audit_seals`, by number."""
    t = trail.tables.audit_seals
    return [Seal(**row._mapping) for row in await conn.execute(select(t).order_by(t.c.seal_id))]


def told_apart(made: Sequence[Seal], key: ErasureKey) -> Chain:
    """Find the chain among seals, which are given by number.

    A seal is authentic if the key says that it follows the first link, an authentic seal that
    ends where it begins, or the row before it: were that one changed, its link is still known.

    Raises:
        InvalidSettingError: they were made with another key.
    """
    found = Chain(list(made))
    by_end: dict[int, str] = {}
    before = _FIRST_LINK
    for each in made:
        links = {_FIRST_LINK, before, by_end.get(each.first_event_id - 1, _FIRST_LINK)}
        before = each.chain
        if each.chain in {each.linked(link, key) for link in links}:
            by_end[each.last_event_id] = each.chain
            found.add(each)
        else:
            found.faults.append(each.refused("it is forged or was changed, or the one before it"))
    if not by_end:
        _refuse_another_key(made, key)
    return found


def _refuse_another_key(made: Sequence[Seal], key: ErasureKey) -> None:
    """One row of another key among ours is forged; where all are of another, the key is wrong."""
    others = {each.key_id for each in made if each.is_plausible}
    if others and key.key_id not in others:
        raise InvalidSettingError(
            f"the trail was sealed with the erasure key {min(others)}, and "
            f"SESSION_ROUTER_ERASURE_KEY is the key {key.key_id}; set the one that the seals were "
            "made with. If nobody has sealed this trail, those seals are forged: docs/audit.md "
            "says how the tables' owner removes them."
        )
