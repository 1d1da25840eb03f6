"""What happened, counted and measured, from views that anybody may read; see docs/reports.md."""

from session_router.reports.bounds import Bounds, Moment
from session_router.reports.catalogue import REPORTS, Report
from session_router.reports.reading import Reports, Told

__all__ = ["REPORTS", "Bounds", "Moment", "Report", "Reports", "Told"]
