"""The fields of a request's header: what is looked at in each request, at little cost."""

from starlette.types import Scope


def first_field(scope: Scope, name: bytes) -> str | None:
    """The first value of a field, whose name is given in lower case; None where there is none."""
    for each, value in scope["headers"]:
        if each == name:
            found: str = value.decode("latin-1")
            return found
    return None


def all_fields(scope: Scope, name: bytes) -> list[str]:
    """All values of a field, likewise."""
    return [value.decode("latin-1") for each, value in scope["headers"] if each == name]
