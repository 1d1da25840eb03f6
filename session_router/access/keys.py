"""A key: `sr_<key_id>_<secret>`. Whoever reads the database learns no secret from it."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from session_router.errors import InvalidValueError
from session_router.session import check_owner
from session_router.text import check_name

_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 6
_TOKEN: Final = re.compile(r"sr_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


class Scope(StrEnum):
    """What a key may be used for."""

    READ = "read"
    OPERATE = "operate"
    AGENT = "agent"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the database has it.

    Attributes:
        key_id: names it, also in its token.
        name: the actor in the trail.
        secret_hash: SHA-256 of the token's secret, in hexadecimal. The secret is 256 random bits,
            so that a slow hash would protect nothing more.
        owner: whose sessions it is for; None: everybody's.
        expires_at, revoked_at: from when on it is refused; None: it is not.
    """

    key_id: str
    name: str
    secret_hash: str
    scopes: frozenset[Scope]
    created_at: datetime
    owner: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def opens(self, secret: str, now: datetime) -> bool:
        """Whether a secret is this key's, and the key is neither revoked nor expired.

        The comparison takes as long for a wrong secret as for the right one.
        """
        if not hmac.compare_digest(hash_of(secret), self.secret_hash):
            return False
        is_expired = self.expires_at is not None and self.expires_at <= now
        is_revoked = self.revoked_at is not None and self.revoked_at <= now
        return not is_expired and not is_revoked


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that is to be stored, with its token, which nobody can tell later.

    Attributes:
        token: what a caller sends.
    """

    key_id: str
    name: str
    secret_hash: str
    scopes: frozenset[Scope]
    owner: str | None
    token: str

    @classmethod
    def of(cls, name: str, scopes: Iterable[str], owner: str | None = None) -> Self:
        """Make one at random.

        Args:
            name: who it is for, 1 to 255 characters; it need not be unique.
            scopes: one at least.
            owner: whose sessions it is for, 1 to 255 characters; None: everybody's.

        Raises:
            InvalidValueError: the name or the owner is not acceptable, or a scope is none.
        """
        key_id = secrets.token_hex(_ID_BYTES)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        return cls(
            key_id=key_id,
            name=check_name(name, "the key's name", InvalidValueError),
            secret_hash=hash_of(secret),
            scopes=scopes_of(scopes),
            owner=check_owner(owner),
            token=f"sr_{key_id}_{secret}",
        )


def parts_of(token: str) -> tuple[str, str] | None:
    """A token's key_id and secret; None where it is no token."""
    found = _TOKEN.fullmatch(token)
    return None if found is None else (found[1], found[2])


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def scopes_of(names: Iterable[str]) -> frozenset[Scope]:
    """Scopes that were given by name.

    Raises:
        InvalidValueError: there is none, or one is unknown.
    """
    given = [*names]
    unknown = [name for name in given if name not in Scope.__members__.values()]
    if unknown or not given:
        said = f"{unknown[0]!a} is no scope" if unknown else "no scope is given"
        raise InvalidValueError(f"{said}; give one or more of {', '.join(Scope)}.")
    return frozenset(map(Scope, given))


def told(scopes: Collection[Scope]) -> str:
    """Scopes as they are stored and shown, in the order of their definition."""
    return " ".join(scope for scope in Scope if scope in scopes)
