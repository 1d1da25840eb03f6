"""A batch asks for each session once, on behalf of one owner; who asks for another's goes alone."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from session_router.repository.changes import Register, Start, Touch

Asked = TypeVar("Asked", Touch, Start, Register)


def first_of_each(asked: Sequence[Asked]) -> dict[str, Asked]:
    """The first change of each session."""
    return {one.session_id: one for one in reversed(asked)}


def owners_of(asked: Iterable[Touch | Start | Register]) -> list[str | None] | None:
    """On whose behalf each is; None where nobody says."""
    owners = [one.owner for one in asked]
    return owners if any(owner is not None for owner in owners) else None
