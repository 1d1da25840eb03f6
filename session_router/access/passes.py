"""A pass: what a browser keeps in place of a key. It lets in for a while, and shows nobody the key.

It must be told by every process that serves the database, with nothing stored for it, and these
share no secret: whoever may read the database knows a key's hash, and could make whatever is signed
with that. So a pass holds the key's secret itself, under a mask that takes the hash to make. Who
has the pass cannot use the key; who has the hash cannot make a pass; and since the mask is of the
time of expiry, another time leads to another secret, which opens nothing.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from session_router.access.keys import hash_of

_NONCE_BYTES: Final = 16
_WRITTEN: Final = re.compile(
    r"([0-9a-f]{12})\.(\d{1,11})\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass, as its parts.

    Attributes:
        expires: seconds since 1970; from then on it lets nobody in.
        nonce: makes the mask another one for each pass of a key.
        masked: the key's secret under the mask.
    """

    key_id: str
    expires: int
    nonce: bytes
    masked: bytes

    @classmethod
    def of(cls, key_id: str, secret: str, expires_at: datetime) -> Self:
        """Make one from a key, which the caller has found to be valid."""
        expires, nonce = int(expires_at.timestamp()), secrets.token_bytes(_NONCE_BYTES)
        mask = _mask(hash_of(secret), key_id, expires, nonce)
        return cls(key_id, expires, nonce, _xor(_bytes_of(secret), mask))

    @classmethod
    def read(cls, written: str) -> Self | None:
        """A pass from a cookie; None where it is none."""
        found = _WRITTEN.fullmatch(written)
        if found is None:
            return None
        return cls(found[1], int(found[2]), _bytes_of(found[3]), _bytes_of(found[4]))

    def written(self) -> str:
        """As a cookie holds it."""
        return f"{self.key_id}.{self.expires}.{_text_of(self.nonce)}.{_text_of(self.masked)}"

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.expires, UTC)

    def secret(self, secret_hash: str) -> str:
        """The key's secret, where this is its hash; otherwise one that opens nothing."""
        mask = _mask(secret_hash, self.key_id, self.expires, self.nonce)
        return _text_of(_xor(self.masked, mask))


def _mask(secret_hash: str, key_id: str, expires: int, nonce: bytes) -> bytes:
    about = f"session_router pass {key_id} {expires} ".encode() + nonce
    return hmac.digest(secret_hash.encode(), about, "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _bytes_of(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text_of(value: bytes) -> str:
    return urlsafe_b64encode(value).decode().rstrip("=")
