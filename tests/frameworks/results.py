"""What the matrix has measured, a file for each cell that was as it is to be."""

import json
from dataclasses import asdict, dataclass

from tests.frameworks.behaviour import Report
from tests.frameworks.catalogue import RESULTS
from tests.frameworks.fake import Situation


@dataclass(frozen=True)
class Cell:
    """One framework in one situation on one database."""

    framework: str
    situation: Situation
    database: str
    receipt: str | None
    report: Report


def keep(cell: Cell) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{cell.framework}-{cell.situation.name.lower()}-{cell.database}.json"
    path.write_text(json.dumps(asdict(cell), indent=2) + "\n")


def kept() -> list[Cell]:
    return [_read(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def _read(text: str) -> Cell:
    read = json.loads(text)
    situation, report = Situation(read.pop("situation")), Report(**read.pop("report"))
    return Cell(situation=situation, report=report, **read)
