"""A fault that was found, and many of them as a short text."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

_SHOWN: Final = 3


@dataclass(frozen=True, order=True)
class Finding:
    """One fault.

    Attributes:
        kind: what is wrong, in the same words for all of its kind.
        what: where, and with what.
    """

    kind: str
    what: str


def told(findings: Iterable[Finding]) -> Iterator[str]:
    """Each kind with its number, and the first ones of it."""
    for kind, group in groupby(sorted(findings), lambda finding: finding.kind):
        of_kind = list(group)
        yield f"{len(of_kind)} x {kind}"
        for finding in of_kind[:_SHOWN]:
            yield f"    {finding.what}"
