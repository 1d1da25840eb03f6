"""Which reports there are."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from session_router.reports.bounds import Bounds, InvalidTimeError
from session_router.reports.rows import (
    ActivityHour,
    AgentDay,
    Backlog,
    InterruptSignal,
    LiveNow,
    ReportRow,
    SessionLife,
    StreamSpan,
    WorkerSpan,
)


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes:
        name: the view's, without `report_`.
        row: what a row of it is.
        order: the columns it is read in the order of.
        time: the column that is bounded; None: the report is of this very moment.
        step: what the times in that column are whole multiples of; none: any time.
        is_counted: whether each row counts events, which the view does for one after the other.
    """

    name: str
    row: type[ReportRow]
    order: tuple[str, ...]
    time: str | None = None
    step: timedelta = timedelta(0)
    is_counted: bool = False

    @property
    def view(self) -> str:
        return f"report_{self.name}"

    def check(self, bounds: Bounds) -> None:
        """Refuse bounds where there is nothing to bound.

        Raises:
            InvalidTimeError: there are bounds, and the report is of this very moment.
        """
        if self.time is None and bounds != Bounds():
            raise InvalidTimeError(
                f"the report {self.name!r} is of this very moment; leave out --since and --until."
            )


REPORTS: Final = {
    report.name: report
    for report in (
        Report(
            *("sessions", SessionLife, ("started_at", "session_uid"), "started_at"),
            is_counted=True,
        ),
        Report("streams", StreamSpan, ("started_at", "stream_id"), "started_at"),
        Report("interrupts", InterruptSignal, ("requested_at", "stream_id"), "requested_at"),
        Report("agents", AgentDay, ("day", "agent_type", "owner"), "day", timedelta(days=1)),
        Report("activity", ActivityHour, ("hour", "owner"), "hour", timedelta(hours=1)),
        Report("workers", WorkerSpan, ("started_at", "worker_id"), "started_at"),
        Report("live", LiveNow, ("read_at",)),
        Report("backlog", Backlog, ("kind", "over_sec")),
    )
}
