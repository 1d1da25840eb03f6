"""Writes the table in docs/frameworks.md from what the matrix has measured last.

`make frameworks` and then `.venv/bin/python -m tests.frameworks.table`. The rows of a framework
that was not measured stay as they are.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from tests.frameworks.behaviour import Behaviour
from tests.frameworks.catalogue import CHECKOUT, FRAMEWORKS, REQUIREMENTS, Framework
from tests.frameworks.fake import Situation
from tests.frameworks.results import Cell, kept

PAGE: Final = CHECKOUT / "docs/frameworks.md"
HEAD: Final = """\
| | where it is | over within | what goes on | kept of the conversation | the next turn |
|---|---|---|---|---|---|
"""
BEGIN: Final = "<!-- made by tests.frameworks.table -->\n"
END: Final = "<!-- end -->\n"

_BOUNDS_SEC: Final = (0.5, 2, 5, 10)
_LONGEST_LINE: Final = 60


def written(page: str, cells: list[Cell]) -> str:
    """The page with the rows that these cells make."""
    before, rest = page.split(BEGIN)
    old, after = rest.split(END)
    rows = [line for framework in FRAMEWORKS for line in _rows(framework, cells, old)]
    return before + BEGIN + HEAD + "".join(rows) + END + after


def title(framework: Framework) -> str:
    """What stands in the first column, but for the version."""
    return f"| {framework.title} "


def _rows(framework: Framework, cells: list[Cell], old: str) -> list[str]:
    measured = {cell.situation: cell for cell in cells if _is_told(cell, framework)}
    if not set(measured) >= set(Situation):
        return [line for line in old.splitlines(True) if line.startswith(title(framework))]
    alike: dict[tuple[str, ...], list[Situation]] = {}
    for situation in Situation:
        alike.setdefault(_told(measured[situation]), []).append(situation)
    name = f"{title(framework)}{_version(framework)}"
    return [
        f"{name} | {', '.join(places)} | {' | '.join(columns)} |\n"
        for columns, places in alike.items()
    ]


def _is_told(cell: Cell, framework: Framework) -> bool:
    """On SQLite all is the same, but for the time until a worker looks for its signals."""
    return cell.framework == framework.name and cell.database == "postgresql"


def _told(cell: Cell) -> tuple[str, ...]:
    report = cell.report
    seen = Behaviour(**report.behaviour(cell.receipt))
    goes_on = ", ".join(_going_on(seen)) or "nothing"
    return (
        _bound(report.left_within_sec),
        f"{goes_on}: {report.limit}" if report.limit else goes_on,
        "<br>".join(_history(report.history)) or "nothing",
        "answers" if seen.next_turn_completes else f"fails: {_cut(report.next_turn)}",
    )


def _going_on(seen: Behaviour) -> Iterator[str]:
    if seen.receipt not in (None, "delivered"):
        yield f"the signal is {seen.receipt}"
    if seen.model_goes_on:
        yield "the model"
    if seen.tool_goes_on:
        yield "the tool, to its end"
    if seen.tasks_are_left:
        yield "tasks"
    if seen.blocks_the_loop:
        yield "the tool blocks the event loop"


def _bound(seconds: float) -> str:
    return next((f"{bound:g} s" for bound in _BOUNDS_SEC if seconds < bound), "longer")


def _history(lines: Iterable[str]) -> Iterator[str]:
    """The lines; of tokens, whose number is different each time, the first one stands for all."""
    for line in lines:
        yield _cut(re.sub(r"token1( token\d+)+ ?", "token1 …", line)).replace("|", "\\|")


def _cut(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "…"


def _version(framework: Framework) -> str:
    first = (REQUIREMENTS / f"{framework.environment}.in").read_text().splitlines()[0]
    return first.partition("==")[2].split()[0]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(), kept()))
