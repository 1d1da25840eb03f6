"""Whether FastAPI is to tell of each request, as to OpenTelemetry."""

import time
from typing import Any, Final

_LOOKED_AT_EVERY_SEC: Final = 1.0


class Telemetry:
    """Asks once a second what FastAPI asks for each request, of the environment each time.

    Args:
        app: a FastAPI application, of a version with telemetry or without.
    """

    def __init__(self, app: Any) -> None:
        self._native = getattr(app, "_native_telemetry", None)
        self._is_on = True
        self._until = 0.0

    def is_on(self) -> bool:
        """Whether it is; where that cannot be known, FastAPI is to see to it."""
        if self._native is not None and time.monotonic() >= self._until:
            self._until = time.monotonic() + _LOOKED_AT_EVERY_SEC
            self._is_on = self._native.enabled()
        return self._is_on
