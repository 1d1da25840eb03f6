"""What is told of frameworks covers all of them; the matrix itself runs by `make frameworks`."""

import re
from pathlib import Path

import pytest

from tests.frameworks.catalogue import CHECKOUT, EXAMPLES, FRAMEWORKS, REQUIREMENTS, Framework
from tests.frameworks.fake import Situation
from tests.frameworks.table import PAGE, title, written

OLDER = {"autogen_stop.py"}
"""Shows how an agent of AutoGen's own runtime registers, which takes more."""


@pytest.mark.parametrize("framework", [f for f in FRAMEWORKS if f.has_agent], ids=lambda f: f.name)
def test_the_page_tells_every_situation_of_each_framework_that_the_matrix_asks(
    framework: Framework,
) -> None:
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith(title(framework))]
    told = [place for row in rows for place in row.split(" | ")[1].split(", ")]
    assert sorted(told) == sorted(Situation), (
        "run 'make frameworks', then 'python -m tests.frameworks.table'"
    )


def test_rows_of_what_was_not_measured_stay_as_they_are() -> None:
    page = PAGE.read_text()
    assert written(page, []) == page


def test_make_runs_all_that_there_are() -> None:
    told = re.search(
        r"^FRAMEWORKS \?= ((?:.*\\\n)*.*)", (CHECKOUT / "Makefile").read_text(), re.MULTILINE
    )
    assert told is not None
    wanted = [*(framework.name for framework in FRAMEWORKS), "servers"]
    assert told[1].replace("\\", "").split() == wanted


@pytest.mark.parametrize("wanted", sorted(REQUIREMENTS.glob("*.in")), ids=lambda path: path.stem)
def test_a_lock_pins_what_is_wanted_with_hashes_and_names_no_registry(wanted: Path) -> None:
    lock = wanted.with_suffix(".txt").read_text()
    packages = re.split(r"\n(?=\S)", lock.strip())
    assert [package for package in packages if "--hash=sha256:" not in package] == []
    assert "://" not in lock
    pinned = {package.split()[0] for package in packages}
    assert {re.sub(r"\[.*\]", "", line) for line in wanted.read_text().split()} <= pinned


@pytest.mark.parametrize(
    "example",
    [path for path in sorted(EXAMPLES.glob("*.py")) if path.name not in OLDER],
    ids=lambda path: path.name,
)
def test_an_example_is_at_most_forty_lines(example: Path) -> None:
    assert len(example.read_text().splitlines()) <= 40
