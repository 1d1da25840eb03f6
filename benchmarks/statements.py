"""How many statements an idle worker sends: its heartbeats, polls, probes, sweeps and reaping."""

import asyncio
import re
from collections import Counter
from contextlib import AsyncExitStack
from typing import Final

from benchmarks.bench import Bench
from benchmarks.report import Goal, Report, Table
from benchmarks.server_log import log_statements, statements, transactions
from session_router.settings import Tuning
from tests.support.processes import PythonProcess

_GOAL: Final = 2.0
_NOBODY_LISTENS: Final = "postgresql://nobody@127.0.0.1:1/nothing"
_LISTEN_URLS: Final[dict[str, list[str]]] = {"listening": [], "polling": [_NOBODY_LISTENS]}
# What the goal is about comes first; a transaction is what the first statement known in it is.
_KINDS: Final = {
    "heartbeat": re.compile(r"UPDATE \S*workers SET heartbeat_at"),
    "poll": re.compile(r"SELECT .* FROM \S*interrupt_signals WHERE \S*worker_id = "),
    "probe of the listener": re.compile(r"SELECT 1$"),
    "reaper": re.compile(r".* \S*workers"),
    "sweep": re.compile(r".* \S*sessions "),
}
_COUNTED: Final = ("heartbeat", "poll", "probe of the listener")


async def measure(bench: Bench) -> Report:
    """Watch a worker in each mode, both at once, each in a database of its own."""
    # The reaper begins its work when the worker has lived for a lease.
    settle_sec, watch_sec = (2.0, 10.0) if bench.quick else (Tuning().lease_sec + 1, 60.0)
    async with AsyncExitStack() as stack:
        urls = {mode: await stack.enter_async_context(bench.database()) for mode in _LISTEN_URLS}
        for mode, listen_url in _LISTEN_URLS.items():
            await log_statements(urls[mode])
            arguments = urls[mode], "1", "0", *listen_url
            worker = await stack.enter_async_context(
                PythonProcess.running("benchmarks.children.idle", *arguments)
            )
            assert await worker.line() == "ready"
        await asyncio.sleep(settle_sec)
        logged = len(bench.server.log())
        await asyncio.sleep(watch_sec)
        log = bench.server.log()[logged:]
    counts = {mode: _counts(log, url) for mode, url in urls.items()}
    return _report(counts, watch_sec)


def _counts(log: str, url: str) -> Counter[tuple[str, str]]:
    """How often each statement was sent, by its kind and its text."""
    return Counter(
        (_kind(transaction), text)
        for transaction in transactions(statements(log, url))
        for text in transaction
    )


def _kind(transaction: list[str]) -> str:
    matches = (kind for text in transaction for kind, known in _KINDS.items() if known.match(text))
    return next(matches, "other")


def _report(counts: dict[str, Counter[tuple[str, str]]], seconds: float) -> Report:
    def rate(mode: str, *kinds: str) -> float:
        return sum(n for (kind, _), n in counts[mode].items() if kind in kinds) / seconds

    kinds = [*_KINDS, "other"]
    rows = [[kind, *(f"{rate(mode, kind):.2f}" for mode in counts)] for kind in kinds]
    rows.append(["all", *(f"{rate(mode, *kinds):.2f}" for mode in counts)])
    texts = sorted(set().union(*counts.values()), key=lambda key: (kinds.index(key[0]), key[1]))
    details = [
        [f"{kind}: {_short(text)}", *(str(counts[mode][kind, text]) for mode in counts)]
        for kind, text in texts
    ]
    return Report(
        "Statements of an idle worker",
        tables=[
            Table(["statements/s", *counts], rows),
            Table([f"sent in {seconds:g} s", *counts], details),
        ],
        goals=[
            Goal(f"heartbeats, polls and probes a second, {mode}", rate(mode, *_COUNTED), _GOAL)
            for mode in counts
        ],
        notes=["Counted in the server's log; BEGIN and COMMIT count as statements."],
        samples={f"statements/s {mode}": [rate(mode, *kinds)] for mode in counts},
    )


def _short(text: str) -> str:
    """Enough of a statement to know it by."""
    text = re.sub(r"SELECT .+? FROM", "SELECT .. FROM", text).replace("session_router.", "")
    return text if len(text) <= 90 else f"{text[:88]}.."
