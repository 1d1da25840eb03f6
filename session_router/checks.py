"""Values that callers give, checked before anything is read or written."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from session_router.errors import InvalidValueError


def as_uuid(value: UUID | str, name: str) -> UUID:
    """A UUID, from its text, too.

    Args:
        name: what the error calls it.

    Raises:
        InvalidValueError: it is none.
    """
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise InvalidValueError(
            f"{name} {value!a} is no UUID; give one such as {uuid4()}."
        ) from None


def as_utc(moment: datetime) -> datetime:
    """The same moment in UTC; one without a zone is taken for UTC.

    The original interface stored such times, and PostgreSQL's infinity is read as one.
    """
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
