"""Values that callers give, checked before anything is read or written."""

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
