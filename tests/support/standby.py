"""A hot standby of a test's PostgreSQL: reads what the primary commits, and can take its place.

    with PostgresServer() as primary, Standby(primary) as standby:
        standby.wait_until_it_has(primary)   # readable there, too
        standby.be_waited_for(primary)       # from now on a commit is on both, or not acknowledged
        fence(primary)                       # writes nothing any more
        standby.promote()

Enter it when the primary is running; it has all databases of the primary, and its users.
"""

import time
from collections.abc import Callable

from tests.support.postgres import PASSWORD, USER, PostgresServer, PostgresServerError

_SLOT = "standby"


class Standby(PostgresServer):
    """A standby that streams from `primary`, over restarts of either."""

    def __init__(self, primary: PostgresServer, *, max_connections: int = 200) -> None:
        super().__init__(max_connections=max_connections)
        # Commits that wait for this standby wait for its next try, too.
        self._settings["wal_retrieve_retry_interval"] = "200ms"
        self._primary = primary

    def wait_until_it_has(self, primary: PostgresServer, *, timeout: float = 30) -> None:
        """Return when what the primary has committed by now can be read here."""
        written = primary.execute("SELECT pg_current_wal_flush_lsn()")
        query = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
        _wait(lambda: self.execute(query) == "t", "the standby is behind", timeout)

    def be_waited_for(self, primary: PostgresServer, *, timeout: float = 30) -> None:
        """Make the primary's commits wait until they are safe here."""
        primary.execute(
            "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"
        )
        query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        _wait(lambda: primary.execute(query) == "1", "the standby is not synchronous", timeout)

    def promote(self) -> None:
        """Make it a primary; returns when it can be written to."""
        if self.execute("SELECT pg_promote(wait_seconds => 60)") != "t":
            raise PostgresServerError(f"the standby was not promoted:\n{self.log()[-4000:]}")

    def _fill(self) -> None:
        address = f"host=127.0.0.1 port={self._primary.port} user={USER} password={PASSWORD}"
        self._run(
            *("pg_basebackup", "--pgdata=data", f"--dbname={address}", "--checkpoint=fast"),
            # With a slot the primary keeps what the standby lacks, however long it is away.
            *("--write-recovery-conf", "--create-slot", f"--slot={_SLOT}", "--no-sync"),
        )


def fence(primary: PostgresServer, *, timeout: float = 30) -> None:
    """Let a primary be read only, as one is whose place is being taken; its clients stay.

    Returns when nobody writes any more: what was begun before may still commit, and counts.
    """
    primary.execute(
        "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"
    )
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
    _wait(lambda: primary.execute(query) == "0", "the fenced primary is written to", timeout)


def _wait(holds: Callable[[], bool], otherwise: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise PostgresServerError(f"after {timeout:g} s {otherwise}")
        time.sleep(0.05)
