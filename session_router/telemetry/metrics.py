"""Metrics for Prometheus, of this process and of the whole database; needs the extra `metrics`."""

import time
from collections.abc import Iterator
from typing import Final, Self

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from session_router.manager import SessionManager
from session_router.repository.measures import Load
from session_router.telemetry import families
from session_router.telemetry.board import Place
from session_router.telemetry.counts import Counts, Database
from session_router.worker.supervisor import Job, Supervisor

_LOOKS_EVERY_SEC: Final = 10.0
_SHOWS_EVERY_SEC: Final = 1.0
_STALE_SEC: Final = 60.0
"""When the database could not be looked at for so long, it is not told how it was."""


class Metrics:
    """What there is to be scraped, in a registry.

    An async context manager: within the block it looks at the database every 10 s, so that a
    scrape need not, and takes the same time however much there is in it.

    Args:
        manager: whose repository to look at. One of a client, which has no database, tells of the
            client's own process only.
        registry: where to register; a registry of its own when left out.
        place: where processes that answer for each other show what they count.

    Attributes:
        registry: what to scrape, as with `prometheus_client.make_asgi_app(metrics.registry)`.
    """

    def __init__(
        self,
        manager: SessionManager,
        *,
        registry: CollectorRegistry | None = None,
        place: Place | None = None,
    ) -> None:
        self._manager = manager
        self._place = place
        self._looks = place is None or place.number == 0
        last = place.read() if place is not None else None
        before = Counts(Load(), None) if last is None else Counts.unpacked(last)
        self._batches_before = before.load.batches
        self._database: Database | None = before.database
        self._supervisor = Supervisor(manager.repository.outage)
        self.registry = CollectorRegistry() if registry is None else registry
        self.registry.register(self)

    async def __aenter__(self) -> Self:
        if self._looks:
            self._supervisor.start(Job("metrics", self.refresh, lambda: _LOOKS_EVERY_SEC))
        if self._place is not None:
            self._supervisor.start(Job("metrics shown", self._show, lambda: _SHOWS_EVERY_SEC))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._supervisor.stop()

    async def refresh(self) -> None:
        """Look at the database once, at the events since the last time as well.

        Raises:
            DatabaseError, DeadlineExceededError: it does not answer; what is known stays.
        """
        repository, now = self._manager.repository, time.monotonic()
        stock = await self._manager.stock()
        is_whole = stock is None
        while stock is not None and not is_whole:
            known = self._database
            tally = await repository.tally(None if known is None else known.totals.until)
            assert tally is not None
            if known is None:
                self._database = Database.first(stock, now, tally)
            else:
                self._database = known.after(stock, now, tally)
            is_whole = tally.is_whole

    def collect(self) -> Iterator[Metric]:
        """The metrics now, for a registry; from any thread."""
        counts = self._counts() if self._place is None else self._counts_of_all(self._place)
        yield families.of_this_version()
        yield from families.of_load(counts.load)
        database = counts.database
        if database is not None:
            yield from families.of_totals(database.totals)
            if time.monotonic() - database.seen_at < _STALE_SEC:
                yield from families.of_stock(database.stock)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The answer to a scrape, in the format that it likes best, and its media type.

        Args:
            accept: the scrape's `Accept`; empty: the plain text format.
        """
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    def _counts(self) -> Counts:
        load = self._manager.repository.load()
        return Counts(load + Load(batches=self._batches_before), self._database)

    async def _show(self) -> None:
        assert self._place is not None
        self._place.show(self._counts().packed())

    def _counts_of_all(self, place: Place) -> Counts:
        """As all processes of the program have shown them, so that each tells the same."""
        return Counts.together(map(Counts.unpacked, place.board.read_all()))
