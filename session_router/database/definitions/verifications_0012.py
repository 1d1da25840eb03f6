"""What keeps the record of verifications as it was written."""

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions.append_only import append_only
from session_router.database.definitions.definition import Definition

_SAME: Final = "verification_id = NEW.verification_id"


def made_by_0012(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The triggers of the record of verifications."""
    return append_only(dialect, schema, "audit_verifications", _SAME)
