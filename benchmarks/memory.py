"""Whether a worker's memory grows with the sessions that it has seen."""

from typing import Final

from benchmarks import population
from benchmarks.bench import Bench
from benchmarks.report import Goal, Report, Table
from tests.support.processes import PythonProcess

_SESSIONS: Final = 1_000_000
_TOUCHED: Final = 200_000
_GOAL_MB: Final = 50.0
_ORDER_LIMIT_SEC: Final = 600.0


async def measure(bench: Bench) -> Report:
    share = 20 if bench.quick else 1
    sessions, touched = _SESSIONS // share, _TOUCHED // share
    orders = {
        f"{touched:,} sessions were touched": f"touch {touched}",
        f"{touched:,} sessions were listed": f"list {touched}",
    }
    async with bench.database() as url:
        await population.live_sessions(url, sessions)
        async with PythonProcess.running("benchmarks.children.visitor", url) as visitor:
            resident = {"it had started": int(await visitor.line(within=60)) / 2**20}
            for what, order in orders.items():
                await visitor.tell(order)
                resident[what] = int(await visitor.line(within=_ORDER_LIMIT_SEC)) / 2**20
    first, *later = resident.values()
    return Report(
        f"Memory of a worker on {sessions:,} sessions",
        tables=[Table(["after", "MB"], [[what, f"{mb:.1f}"] for what, mb in resident.items()])],
        goals=[Goal("growth, MB", max(later) - first, _GOAL_MB)],
        notes=["64 callers touch each session once; pages have 1,000 sessions."],
        samples={"MB": list(resident.values())},
    )
