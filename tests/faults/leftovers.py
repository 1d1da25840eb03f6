"""What lies in the tables though nobody is there for it any more."""

from collections.abc import Iterator
from uuid import UUID

from tests.faults.findings import Finding
from tests.faults.journal import Entry
from tests.faults.load import LEASE_SEC
from tests.support.sql import query

_STREAMS = """
    SELECT stream_id, worker_id, w.pid FROM session_router.agent_streams
    LEFT JOIN session_router.workers AS w USING (worker_id)"""
_SIGNALS = """
    SELECT signal_id, stream_id, w.pid FROM session_router.interrupt_signals
    LEFT JOIN session_router.workers AS w USING (worker_id)"""
_TRANSACTIONS = f"""
    SELECT pid, state, clock_timestamp() - xact_start, left(query, 80) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
      AND xact_start < clock_timestamp() - interval '{2 * LEASE_SEC} s'"""
_WORKERS = "SELECT worker_id, pid FROM session_router.workers"


async def orphans(url: str, living: dict[int, list[Entry]]) -> list[Finding]:
    """What is left of the dead, or of streams that are over, while the living are at rest.

    Args:
        living: what the workers that live have written, by process id.
    """
    held = {stream for written in living.values() for stream in _held(written)}
    return [
        *(
            Finding("a stream without a worker", f"{stream} of {worker}")
            for stream, worker, pid in await query(url, _STREAMS)
            if pid is None
        ),
        *(
            Finding("a stream that is listed and that nobody has", f"{stream} of pid {pid}")
            for stream, _, pid in await query(url, _STREAMS)
            if pid is not None and stream not in held
        ),
        *(
            Finding("a signal that is not settled", f"{signal} for {stream} of pid {pid}")
            for signal, stream, pid in await query(url, _SIGNALS)
        ),
        *(
            Finding("a worker that is dead and listed", f"{worker}, pid {pid}")
            for worker, pid in await query(url, _WORKERS)
            if pid not in living
        ),
        *(
            Finding("a transaction that nobody ends", f"{state} for {age} since {statement}")
            for _, state, age, statement in await query(url, _TRANSACTIONS)
        ),
    ]


async def leftovers(url: str) -> list[Finding]:
    """What is in the tables when all workers have left in order."""
    return [
        Finding(f"left in {table} though all have left", f"{number} row(s)")
        for table in ("workers", "agent_streams", "interrupt_signals")
        for [number] in await query(url, f"SELECT count(*) FROM session_router.{table}")
        if number
    ]


def _held(written: list[Entry]) -> Iterator[UUID]:
    """The streams that a worker at rest still has: registered, and not ended by itself."""
    answers = {e["call"]: e["answer"] for e in written if e["what"] == "answered"}
    asked = [e for e in written if e["what"] == "asked" and e["call"] in answers]
    over = {e["stream_id"] for e in asked if e["name"] == "unmark_agent_streaming"}
    for entry in asked:
        stream_id = answers[entry["call"]]
        if entry["name"] == "register_agent" and stream_id not in over:
            yield UUID(stream_id)
