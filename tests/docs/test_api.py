"""The Python API reference is made from docstrings, of all that is public."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pdoc import doc

import session_router
from docs.api import PUBLIC, loaded
from tests.docs.pages import CHECKOUT


def test_it_is_made_without_a_warning_of_all_public_modules(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "docs.api", tmp_path],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    made = {f"{p.relative_to(tmp_path).with_suffix('')}" for p in tmp_path.rglob("*.html")}
    assert made == {"index", *(module.replace(".", "/") for module in PUBLIC)}


def test_every_public_name_of_the_package_can_be_asked_for_and_is_listed() -> None:
    assert set(session_router.__all__) <= set(dir(session_router))
    assert [name for name in session_router.__all__ if not hasattr(session_router, name)] == []
    assert not hasattr(session_router, "NoSuchName")


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_class_and_function_has_a_docstring(module: str) -> None:
    names = list(_described(doc.Module(loaded(module)).members.values()))
    assert names
    assert [name.fullname for name in names if not name.docstring] == []


def _described(members: Iterable[doc.Doc[Any]]) -> Iterator[doc.Doc[Any]]:
    for member in members:
        if isinstance(member, doc.Class | doc.Function) and not member.name.startswith("_"):
            yield member
        if isinstance(member, doc.Class):
            yield from _described(member.own_members)
