"""Statistics of samples."""

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The least sample that is no less than this share of all samples (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(math.ceil(share * len(ranked)), 1) - 1]


def median(values: Sequence[float]) -> float:
    return percentile(values, 0.5)
