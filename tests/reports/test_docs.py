"""docs/reports.md says what is so."""

from docs.reports import PAGE, described
from session_router.reports import REPORTS


def test_the_page_describes_every_report_and_column_as_they_are() -> None:
    page = PAGE.read_text()
    missing = [line for line in described().splitlines() if line not in page.splitlines()]
    assert missing == [], "run 'make docs'"


def test_the_page_describes_nothing_that_is_gone() -> None:
    told = [line for line in PAGE.read_text().splitlines() if line.startswith(("| `", "## report"))]
    wanted = described().splitlines()
    assert [line for line in told if line not in wanted and not line.startswith("| `--")] == []
    assert len(told) > len(REPORTS) * 2
