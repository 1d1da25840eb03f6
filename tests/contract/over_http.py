"""Which of the contract's tests do not apply to a manager over HTTP, and why."""

import pytest

_NOT_OVER_HTTP: dict[str, tuple[str, ...]] = {}


def skip_where_it_cannot_apply(request: pytest.FixtureRequest) -> None:
    """Skip the test that asks, with the reason, where it is among these."""
    name = f"{request.path.stem}::{request.function.__name__}"
    for reason, tests in _NOT_OVER_HTTP.items():
        if name in tests:
            pytest.skip(reason)
