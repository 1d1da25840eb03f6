"""A row of a report as a person reads it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from session_router.cli import output

if TYPE_CHECKING:
    from session_router.reports.rows import ReportRow


def cells_of(row: ReportRow) -> dict[str, str]:
    """The cells by their columns: lengths of time in fitting units, shares together in one."""
    cells, shares = {}, {}
    for name, value in row:
        if name.endswith(("_uid", "stream_id", "worker_id", "request_id")):
            continue
        if name.endswith("_share"):
            shares[name.removesuffix("_share")] = value
        else:
            shown = name if isinstance(value, int) else name.removesuffix("_sec")
            cells[shown] = _cell(name, value)
    if shares:
        ranked = sorted(shares.items(), key=lambda share: -share[1])
        cells["outcomes"] = ", ".join(f"{name} {of:.1%}" for name, of in ranked if of)
    return cells


def _cell(name: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return output.moment(value)
        case float() if name.endswith(("_sec", "seconds")):
            return output.duration(timedelta(seconds=value))
        case float():
            return f"{value:.2f}"
        case _:
            return str(value)
