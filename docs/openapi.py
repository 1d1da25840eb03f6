"""Writes the OpenAPI document into the package, for clients that are generated from it.

`make docs` runs it.
"""

import json
from pathlib import Path
from typing import Final

import session_router.http
from session_router import InMemorySessionRepository, SessionManager
from session_router.http import create_app

FILE: Final = Path(session_router.http.__file__).with_name("openapi.json")


def document() -> str:
    """The document of this version."""
    app = create_app(SessionManager(InMemorySessionRepository()))
    return json.dumps(app.openapi(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(document())
