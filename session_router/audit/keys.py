"""The keys of an audit: who signs what proves the trail, who may check it, whose pseudonyms it has.

Seals are signed by Ed25519 (RFC 8032), so that whoever has the public key checks them, and cannot
make one. Where there is no such key, the erasure key authenticates them, as HMAC (RFC 2104).
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol

from session_router.errors import InvalidSettingError, UnsupportedError
from session_router.pseudonyms import ErasureKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

_KEY: Final = re.compile("[0-9a-f]{64}", re.IGNORECASE)
_SIGNATURE: Final = re.compile("[0-9a-f]{128}")


class Verifier(Protocol):
    """Tells whether a signature is its key's."""

    @property
    def key_id(self) -> str:
        """16 hexadecimal digits, which tell the key from others."""
        ...

    def has_signed(self, text: str, signature: str) -> bool: ...


class Signer(Verifier, Protocol):
    """Signs what its verifier takes."""

    def sign(self, text: str) -> str:
        """The signature of a text, in hexadecimal digits."""
        ...


class SharedKey:
    """An erasure key that authenticates seals: who can check them can make them."""

    def __init__(self, key: ErasureKey) -> None:
        self.key_id = key.key_id
        self._key = key

    def sign(self, text: str) -> str:
        return self._key.mac("seal", text)

    def has_signed(self, text: str, signature: str) -> bool:
        return hmac.compare_digest(self.sign(text).encode(), signature.encode())


class PublicKey:
    """What signatures are checked by.

    Args:
        text: the key, 32 bytes in hexadecimal digits.

    Raises:
        InvalidSettingError: it is none.
        UnsupportedError: the extra `seals` is not installed.
    """

    def __init__(self, text: str) -> None:
        given = text.strip()
        if not _KEY.fullmatch(given):
            raise InvalidSettingError(
                f"SESSION_ROUTER_SEAL_PUBLIC_KEYS has {given[:80]!a}, which is no public key; "
                "give what 'session-router audit public-key' prints, several apart by commas."
            )
        self.text = given.lower()
        raw = bytes.fromhex(self.text)
        self.key_id = hashlib.sha256(raw).hexdigest()[:16]
        self._key: Ed25519PublicKey = _ed25519().Ed25519PublicKey.from_public_bytes(raw)

    def has_signed(self, text: str, signature: str) -> bool:
        from cryptography.exceptions import InvalidSignature

        if not _SIGNATURE.fullmatch(signature):  # there is one way to write it
            return False
        try:
            self._key.verify(bytes.fromhex(signature), text.encode())
        except InvalidSignature:
            return False
        return True


class PrivateKey:
    """What seals are signed by; it is never shown.

    Args:
        secret: 32 random bytes, in hexadecimal digits.

    Raises:
        InvalidSettingError: it is none.
        UnsupportedError: the extra `seals` is not installed.
    """

    def __init__(self, secret: str) -> None:
        given = secret.strip()
        if not _KEY.fullmatch(given):
            raise InvalidSettingError(
                f"SESSION_ROUTER_SEAL_KEY (it is not shown) has {len(given)} characters, "
                "or others than hexadecimal digits; give it 64 of these, such as the output of "
                "'openssl rand -hex 32'."
            )
        seed = bytes.fromhex(given)
        made: Ed25519PrivateKey = _ed25519().Ed25519PrivateKey.from_private_bytes(seed)
        self._key = made
        self.public = PublicKey(made.public_key().public_bytes_raw().hex())
        self.key_id = self.public.key_id

    def sign(self, text: str) -> str:
        return self._key.sign(text.encode()).hex()

    def has_signed(self, text: str, signature: str) -> bool:
        return self.public.has_signed(text, signature)


@dataclass(frozen=True)
class AuditKeys:
    """The keys that somebody has; nobody needs all of them.

    Attributes:
        erasure: makes pseudonyms; without `private`, also authenticates seals.
        private: signs seals.
        public: of keys that sign, or have signed.
        former: erasure keys of before.
    """

    erasure: ErasureKey | None = None
    private: PrivateKey | None = None
    public: Sequence[PublicKey] = ()
    former: Sequence[ErasureKey] = ()

    @cached_property
    def verifiers(self) -> dict[str, Verifier]:
        """Whose signatures can be checked, by the keys' ids; none: seals are not checked."""
        found: list[Verifier] = [*map(SharedKey, self.erasure_keys), *self.public]
        found += [] if self.private is None else [self.private]
        return {each.key_id: each for each in found}

    @property
    def erasure_keys(self) -> list[ErasureKey]:
        """The erasure key, and those of before."""
        return [*([] if self.erasure is None else [self.erasure]), *self.former]

    def signer(self) -> Signer:
        """Who signs from now on.

        Raises:
            InvalidSettingError: there is neither key.
        """
        if self.private is not None:
            return self.private
        if self.erasure is not None:
            return SharedKey(self.erasure)
        raise InvalidSettingError(
            "seals, and what leaves what was sealed, are signed, and there is no key for it; set "
            "SESSION_ROUTER_SEAL_KEY, or SESSION_ROUTER_ERASURE_KEY, to a secret of your own, such "
            "as the output of 'openssl rand -hex 32', and keep it."
        )

    @property
    def pseudonyms(self) -> ErasureKey:
        """The key of pseudonyms.

        Raises:
            InvalidSettingError: there is none.
        """
        if self.erasure is None:
            raise InvalidSettingError(
                "SESSION_ROUTER_ERASURE_KEY is not set, and this needs it; set it to a secret of "
                "your own, such as the output of 'openssl rand -hex 32', and keep it."
            )
        return self.erasure

    def erasure_key(self, key_id: str) -> ErasureKey:
        """The erasure key of an id.

        Raises:
            InvalidSettingError: it is not among them.
        """
        for each in self.erasure_keys:
            if each.key_id == key_id:
                return each
        raise InvalidSettingError(
            f"the erasure key {key_id} is needed, which a seal of before was made with; set it in "
            "SESSION_ROUTER_ERASURE_KEY or among SESSION_ROUTER_FORMER_ERASURE_KEYS."
        )


NO_KEYS: Final = AuditKeys()
"""Of whoever has none: the laws are checked, and no seal is."""


def _ed25519() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise UnsupportedError(
            "seals are signed by the package 'cryptography', which is not installed: "
            "pip install 'session-router[seals]'."
        ) from error
    return ed25519
