"""Heartbeats of the workers that one process speaks for: they share batches."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from session_router.database.schema import Tables
from session_router.database.transactions import Transactions
from session_router.repository.sql import workers
from session_router.repository.sql.batches.group_commit import GroupCommit, Retry


def heartbeats(
    reserved: Transactions, transactions: Transactions, t: Tables, deadline_sec: float
) -> GroupCommit[UUID, datetime | None]:
    """The group commit of `workers.beat`.

    A worker whose row is held, or not there, beats in a transaction of its own, so that it delays
    nobody else.

    Args:
        reserved: for the batches, so that they need not wait for the pool.
        transactions: for what goes alone.
        deadline_sec: how long a caller waits, in seconds.
    """

    async def commit(worker_ids: Sequence[UUID]) -> list[datetime | Retry | None]:
        written = await reserved.single(lambda conn: workers.beat_all(conn, t, worker_ids))
        return [written.get(worker_id, Retry.IN_OWN_TRANSACTION) for worker_id in worker_ids]

    async def alone(worker_id: UUID, deadline: float) -> datetime | None:
        return await transactions.write(
            lambda conn: workers.beat(conn, t, worker_id), deadline=deadline
        )

    return GroupCommit(commit, alone, lambda worker_id: worker_id, deadline_sec, lanes=1)
