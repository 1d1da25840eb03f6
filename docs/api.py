"""Writes the Python API reference, from the docstrings of what is public.

`make docs` runs it. Begin reading at build/api/index.html.
"""

import sys
from pathlib import Path
from typing import Final

import pdoc

PUBLIC: Final = (
    "session_router",
    "session_router.settings",
    "session_router.database.migrate",
    "session_router.database.host_alembic",
    "session_router.client",
    "session_router.fastapi",
    "session_router.runtimes.autogen",
)
_INTERNAL: Final = r"!session_router\.(client|fastapi)\."
"""A function has the name of the module that it is in, so pdoc takes the module to be public."""


def main(folder: Path) -> None:
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*PUBLIC, _INTERNAL, output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
