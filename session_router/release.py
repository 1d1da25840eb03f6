"""Which release of this package runs."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def release() -> str | None:
    """The version; None where the package runs from files that were not installed."""
    try:
        return version("session-router")
    except PackageNotFoundError:
        return None
