"""Which seals are authentic: signed by a key that is known, each chained to one before.

The database cannot tell, as it never has a key. A row that somebody put among the seals, or
changed, is told of and passed over: it ends neither sealing nor erasure.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress, count
from operator import not_
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.keys import AuditKeys, Signer, Verifier
from session_router.audit.laws import Violation
from session_router.audit.trail import BEFORE_ALL, Trail
from session_router.database.definitions.audit_0016 import FORM
from session_router.errors import DatabaseError, InvalidSettingError

_FIRST_LINK: Final = ""
_DIGEST: Final = re.compile(f"({FORM})?[0-9a-f]{{64}}")
_MAC_LENGTH: Final = 64
_SIGNATURE: Final = re.compile(f"([0-9a-f]{{{_MAC_LENGTH}}}){{1,2}}")


class Seal(BaseModel):
    """One row of `audit_seals`.

    Attributes:
        seal_id: 1, 2, 3 ...; numbers that a forged row had taken are left out.
        first_event_id, last_event_id: the range, which ends where the next one begins.
        events: how many events it had.
        digest: over these events; of the form that `digests` makes where it begins with its mark.
        chain: the signature of all of this and the chain of the seal before.
        key_id: tells whose signature it is.
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

    def signed(self, link: str) -> str:
        """The text that `chain` signs behind a seal whose own is `link`."""
        told = self.model_dump(mode="json", exclude={"chain", "sealed_at"})
        told["sealed_at"] = self.sealed_at.isoformat(timespec="microseconds")
        return json.dumps([link, *(told[name] for name in sorted(told))])

    @property
    def is_signed(self) -> bool:
        """Whether others than who has the key can check it."""
        return len(self.chain) > _MAC_LENGTH

    @property
    def is_of_first_form(self) -> bool:
        """Whether it takes the erasure key to make its digest anew."""
        return not self.digest.startswith(FORM)

    def refused(self, why: str) -> Violation:
        """What is said of a seal that does not hold."""
        span = f"{self.seal_id} (events {self.first_event_id} to {self.last_event_id})"
        return Violation("seal", "seal", span, {"fault": why})

    @property
    def is_plausible(self) -> bool:
        """Whether it may be a seal of some key."""
        return bool(_DIGEST.fullmatch(self.digest) and _SIGNATURE.fullmatch(self.chain))


@dataclass
class Chain:
    """The seals as they are there, told apart.

    Attributes:
        made: all of them, by number.
        line: those that hold, each with a range behind the one before; the next seal follows
            the last.
        faults: a violation for each of the others.
        first: the number of the seal that follows no other, if it holds.
        unchecked: those before the line that take an erasure key, where none is set; the first
            seal of the line vouches for the newest of them.
        missing: those that a seal that holds has followed, or that follow the line, and whose key
            is not set.
        is_signed: whether any authentic one can be checked by others; then all behind it have to.
    """

    made: list[Seal]
    line: list[Seal] = field(default_factory=list)
    faults: list[Violation] = field(default_factory=list)
    first: int | None = None
    unchecked: list[Seal] = field(default_factory=list)
    missing: list[Seal] = field(default_factory=list)
    is_signed: bool = False
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

    def signer(self, keys: AuditKeys) -> Signer:
        """Who signs the next seal, and what becomes of what was sealed.

        Raises:
            InvalidSettingError: there is no key for it; or only one that others cannot check,
                where seals were signed before.
        """
        signer = keys.signer()
        if any(each.first_event_id > self.sealed_until for each in self.missing):
            self.refuse_missing_keys()
        if keys.private is None and self.is_signed:
            raise InvalidSettingError(
                "the trail's seals are signed, and SESSION_ROUTER_SEAL_KEY is not set; set it to "
                "the key that signs them, or to a new one, beside whose public key that of before "
                "stands in SESSION_ROUTER_SEAL_PUBLIC_KEYS."
            )
        return signer

    def refuse_missing_keys(self) -> None:
        """Refuse to change what is sealed where not all that was sealed can be seen.

        Raises:
            InvalidSettingError: there are seals whose key is not set.
        """
        for each in self.missing:
            raise InvalidSettingError(
                f"seal {each.seal_id} was made with the key {each.key_id}, which is not set, so "
                "what it covers would be changed, or sealed again, without a record. Set it as "
                "SESSION_ROUTER_SEAL_KEY, or where another one signs now its public one among "
                "SESSION_ROUTER_SEAL_PUBLIC_KEYS; an erasure key of before among "
                "SESSION_ROUTER_FORMER_ERASURE_KEYS. If the seal is forged, docs/audit.md says how "
                "the tables' owner removes it."
            )

    def next_id(self) -> int:
        """The number of the next seal: behind all authentic ones, and free."""
        taken = {each.seal_id for each in self.made}
        return next(number for number in count(self._newest_id + 1) if number not in taken)

    def add(self, each: Seal) -> None:
        """Add an authentic seal. Where its range begins, those before it end."""
        self._drop_behind(each.first_event_id - 1, "a later seal covers its range")
        self.line.append(each)
        self._newest_id = each.seal_id
        self.is_signed = self.is_signed or each.is_signed

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


async def chain(
    trail: Trail, conn: AsyncConnection, keys: AuditKeys, known: Chain | None = None
) -> Chain:
    """The seals that are there, told apart by the keys.

    Args:
        known: as they were told apart before; it is good as long as no seal has come since.

    Raises:
        InvalidSettingError: they were made with another key.
    """
    if known is not None and not await _has_others(trail, conn, known):
        return known
    # In a thread: a year of hourly seals takes a second.
    found = await asyncio.to_thread(told_apart, await seals(trail, conn), keys)
    found.end_at(await trail.last_number(conn))
    return found


async def _has_others(trail: Trail, conn: AsyncConnection, known: Chain) -> bool:
    """Whether somebody else has put a seal there since."""
    newest = select(func.max(trail.tables.audit_seals.c.seal_id))
    return bool((await conn.execute(newest)).scalar_one() != known.highest_id)


async def seals(trail: Trail, conn: AsyncConnection) -> list[Seal]:
    """Every row of `audit_seals`, by number."""
    t = trail.tables.audit_seals
    rows = (await conn.execute(select(t).order_by(t.c.seal_id))).all()
    try:
        return [Seal(**row._mapping) for row in rows]
    except ValidationError as error:  # SQLite keeps anything there
        raise DatabaseError(
            f"a row of 'audit_seals' cannot be read: {error.errors()[0]['msg']}. docs/audit.md "
            "says how the tables' owner removes one."
        ) from error


def told_apart(made: Sequence[Seal], keys: AuditKeys) -> Chain:
    """Find the chain among seals, which are given by number.

    A seal is authentic if its key says that it follows the first link, an authentic seal that
    ends where it begins, or the row before it: were that one changed, its link is still known.

    Raises:
        InvalidSettingError: they were made with another key.
    """
    found = Chain(list(made))
    by_end: dict[int, str] = {}
    before = _FIRST_LINK
    for number, each in enumerate(made):
        links = (by_end.get(each.first_event_id - 1, _FIRST_LINK), before, _FIRST_LINK)
        link = _link_of(each, links, keys.verifiers.get(each.key_id))
        if link is not None and found.is_signed and not each.is_signed:
            found.faults.append(each.refused("it is not signed, and one before it is"))
        elif link is not None:
            if link == before and number and _is_of_other_key(made[number - 1], keys):
                found.missing.append(made[number - 1])
            if not by_end and link != _FIRST_LINK:
                # None before it holds, so the faults so far are these seals', in their order.
                others = [_is_for_others(each, keys) for each in made[:number]]
                found.unchecked = list(compress(made, others))
                found.faults = list(compress(found.faults, map(not_, others)))
            if link == _FIRST_LINK:
                found.first = each.seal_id
            by_end[each.last_event_id] = each.chain
            found.add(each)
        else:
            found.faults.append(each.refused(_fault_of(each, keys)))
        before = each.chain
    if not by_end:
        _refuse_another_key(made, keys)
    found.missing += [
        each
        for each in made
        if _is_of_other_key(each, keys) and each.first_event_id == found.sealed_until + 1
    ]
    return found


def _link_of(each: Seal, links: Sequence[str], key: Verifier | None) -> str | None:
    """Which of these links a seal follows, by its signature."""
    if key is None:
        return None
    followed = (
        link for link in dict.fromkeys(links) if key.has_signed(each.signed(link), each.chain)
    )
    return next(followed, None)


def _is_of_other_key(each: Seal, keys: AuditKeys) -> bool:
    return each.is_plausible and each.key_id not in keys.verifiers


def _is_for_others(each: Seal, keys: AuditKeys) -> bool:
    """Whether a seal is one for those who have an erasure key, which is nothing that is set.

    A signed one never is: whoever exchanged it for another could not keep its signature.
    """
    return not keys.erasure_keys and each.is_plausible and not each.is_signed


def _fault_of(each: Seal, keys: AuditKeys) -> str:
    if _is_of_other_key(each, keys):
        return f"it is forged, or of the key {each.key_id}, which is not among those that are set"
    return "it is forged or was changed, or the one before it"


def _refuse_another_key(made: Sequence[Seal], keys: AuditKeys) -> None:
    """One row of another key among ours is forged; where all are of another, the key is wrong."""
    others = {each.key_id for each in made if each.is_plausible}
    if others and not others & keys.verifiers.keys():
        raise InvalidSettingError(
            f"the trail was sealed with the key {min(others)}, and the keys that are set are "
            f"{', '.join(sorted(keys.verifiers)) or 'none'}; set the one that the seals were made "
            "with: in SESSION_ROUTER_ERASURE_KEY or SESSION_ROUTER_SEAL_KEY, its public one in "
            "SESSION_ROUTER_SEAL_PUBLIC_KEYS. If nobody has sealed this trail, those seals are "
            "forged: docs/audit.md says how the tables' owner removes them."
        )
