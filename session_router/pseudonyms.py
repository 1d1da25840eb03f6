"""Pseudonyms: what stands in the trail in the place of what was erased."""

import hmac
import re
from functools import lru_cache
from typing import Final

from session_router.errors import InvalidSettingError

KEY_LENGTH: Final = 32
"""The least number of characters of an erasure key."""

_PREFIX: Final = "erased-"
_FORM: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{64}}")
_REMEMBERED: Final = 100_000


class ErasureKey:
    """The secret behind pseudonyms and seals; it is never shown.

    Who has it can tell whose pseudonym one is, by trying; nobody else can.

    Args:
        secret: 32 characters or more.
        setting: where it was set, for the message.

    Raises:
        InvalidSettingError: it is too short.
    """

    def __init__(self, secret: str, setting: str = "SESSION_ROUTER_ERASURE_KEY") -> None:
        if len(secret) < KEY_LENGTH:
            raise InvalidSettingError(
                f"{setting} has {len(secret)} characters (it is not shown); give "
                f"it at least {KEY_LENGTH}, such as the output of 'openssl rand -hex 32'."
            )
        self._secret = secret.encode()
        # A trail repeats its ids; a pseudonym is quicker remembered than made.
        self.pseudonym = lru_cache(_REMEMBERED)(self._pseudonym)

    @property
    def key_id(self) -> str:
        """Tells this key from others, and nothing else about it."""
        return self.mac("key id", "")[:16]

    def mac(self, purpose: str, text: str) -> str:
        """HMAC-SHA256 of a text, 64 hexadecimal digits; different for each purpose."""
        return hmac.digest(self._secret, f"{purpose}\0{text}".encode(), "sha256").hex()

    def _pseudonym(self, value: str) -> str:
        """What stands for `value`: the same for the same value, whoever's it is."""
        return _PREFIX + self.mac("pseudonym", value)


def is_pseudonym(text: str) -> bool:
    """Whether a text has the form of a pseudonym."""
    return _FORM.fullmatch(text) is not None
