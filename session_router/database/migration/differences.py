"""Two descriptions of a database, and how they differ, for a person to mend."""

from typing import Final

Outline = dict[str, str]
"""Objects by name, each with what there is to say of it."""

INVALID: Final = " (invalid)"
"""After the definition of an index that was never finished."""
_NOT_VALIDATED: Final = " NOT VALID"  # as PostgreSQL itself says it


def compare(found: Outline, wanted: Outline) -> list[str]:
    """Every difference, a sentence each."""
    faults = [
        f"{name} is missing, though its revision was applied; make it again: {wanted[name]}"
        for name in wanted.keys() - found.keys()
    ]
    faults += [
        f"{name} is not of this version; drop it, unless you know what needs it: {found[name]}"
        for name in found.keys() - wanted.keys()
    ]
    faults += [
        _difference(name, found[name], wanted[name])
        for name in wanted.keys() & found.keys()
        if wanted[name] != found[name]
    ]
    return sorted(faults)


def plain(definition: str) -> str:
    """A definition on one line."""
    return " ".join(definition.split())


def _difference(name: str, found: str, wanted: str) -> str:
    if found == wanted + INVALID:
        return (
            f"{name} was never finished, so no query uses it; REINDEX INDEX CONCURRENTLY mends that"
        )
    if found == wanted + _NOT_VALIDATED:
        return f"{name} holds for new rows only; ALTER TABLE ... VALIDATE CONSTRAINT mends that"
    return f"{name} differs: it is: {found}; change it to: {wanted}"
