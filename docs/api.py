"""Writes the Python API reference, from the docstrings of what is public.

`make docs` runs it. Begin reading at build/api/index.html.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
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


def loaded(name: str) -> ModuleType:
    """A module with all its public names, as pdoc wants them; some wait to be asked for."""
    module = import_module(name)
    for public in getattr(module, "__all__", ()):
        getattr(module, public)
    return module


def main(folder: Path) -> None:
    for name in PUBLIC:
        loaded(name)
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*PUBLIC, _INTERNAL, output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
