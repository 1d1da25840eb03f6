"""Simulated traffic of many days, the same from the same seed, and its own account of itself."""

from tests.support.traffic.counts import Counts
from tests.support.traffic.fill import fill
from tests.support.traffic.plan import Plan

__all__ = ["Counts", "Plan", "fill"]
