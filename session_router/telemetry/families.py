"""From counts to the metrics of Prometheus: every name, label and help text."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from session_router.events import SignalOutcome
from session_router.release import release
from session_router.repository.measures import (
    SETTLE_SECONDS,
    STREAM_SECONDS,
    Durations,
    Load,
    Stock,
    Tally,
)

_BATCH_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def of_this_version() -> Metric:
    """Which release it is."""
    return InfoMetricFamily(
        "session_router_build",
        "The release that runs.",
        {"version": release() or "unknown"},
    )


def of_load(load: Load) -> Iterator[Metric]:
    """Group commit in the processes that were asked."""
    yield GaugeMetricFamily(
        "session_router_group_commit_waiting",
        "Operations that wait for a batch, in the processes behind this address.",
        load.waiting,
    )
    batches = HistogramMetricFamily(
        "session_router_group_commit_batch_size",
        "Operations that share one transaction, in the processes behind this address.",
    )
    numbers = [0] * (len(_BATCH_SIZES) + 1)
    for size, number in load.batches.items():
        numbers[bisect_left(_BATCH_SIZES, size)] += number
    operations = sum(size * number for size, number in load.batches.items())
    batches.add_metric([], _buckets(_BATCH_SIZES, numbers), operations)
    yield batches


def of_stock(stock: Stock) -> Iterator[Metric]:
    """How the database is now."""
    streams = GaugeMetricFamily(
        "session_router_streams_live",
        "Streams that live, in all workers, by the type of their agents.",
        labels=["agent_type"],
    )
    for agent_type, number in sorted(stock.streams.items()):
        streams.add_metric([agent_type], number)
    yield streams
    gauges: dict[str, tuple[str, float]] = {
        "sessions_live": ("Sessions that live.", stock.sessions),
        "signals_unsettled": ("Signals that are not settled.", stock.signals),
        "signals_oldest_seconds": (
            "The age of the oldest signal that is not settled; 0 where there is none.",
            stock.oldest_signal.total_seconds(),
        ),
        "workers_live": ("Workers that have a lease.", stock.workers),
        "sweep_lag_seconds": (
            "For how long the session has been due that the sweep should have deleted first.",
            stock.sweep_lag.total_seconds(),
        ),
    }
    for name, (told, value) in gauges.items():
        yield GaugeMetricFamily(f"session_router_{name}", told, value)


def of_totals(totals: Tally) -> Iterator[Metric]:
    """What has happened in the database."""
    yield CounterMetricFamily(
        "session_router_interrupts", "Interrupts that were asked for.", totals.interrupts
    )
    streams = HistogramMetricFamily(
        "session_router_stream_duration_seconds",
        "How long streams took that ended, by the type of their agents and the outcome.",
        labels=["agent_type", "outcome"],
    )
    for (agent_type, outcome), took in sorted(totals.streams.items()):
        _add(streams, [agent_type, outcome], STREAM_SECONDS, took)
    yield streams
    signals = HistogramMetricFamily(
        "session_router_signal_settle_seconds",
        "How long it took from a signal to its receipt, by the outcome.",
        labels=["outcome"],
    )
    # All of them from the beginning: the first that is lost must not go unseen by `increase`.
    for receipt in SignalOutcome:
        took = totals.signals.get(receipt) or Durations.none(SETTLE_SECONDS)
        _add(signals, [receipt], SETTLE_SECONDS, took)
    yield signals


def _add(
    family: HistogramMetricFamily, labels: list[str], bounds: Sequence[float], took: Durations
) -> None:
    family.add_metric(labels, _buckets(bounds, took.numbers), took.seconds)


def _buckets(bounds: Sequence[float], numbers: Sequence[int]) -> list[tuple[str, float]]:
    """As Prometheus has them: how many are at most as large as each bound."""
    names = [*map(floatToGoString, bounds), "+Inf"]
    return list(zip(names, accumulate(numbers), strict=True))
