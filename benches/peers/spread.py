"""Medians of rounds with their spread, which decides whether a difference is measurable."""

import statistics
from typing import NamedTuple


class Spread(NamedTuple):
    median: float
    low: float
    high: float

    @property
    def width(self):
        return self.high - self.low

    def text(self, digits=1, scale=1):
        """Returns the median, with the range of the rounds if it shows."""
        median, low, high = (f"{value * scale:.{digits}f}" for value in self)
        return median if low == high else f"{median} ({low}–{high})"


def of(values):
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


def field(rounds, name):
    return of(one[name] for one in rounds)


def ratio(numerators, denominators, name="cpu_us"):
    """Compares the rounds pairwise, since they took turns."""
    return of(one[name] / other[name] for one, other in zip(numerators, denominators, strict=True))


def difference(rounds, others, name):
    return of(one[name] - other[name] for one, other in zip(rounds, others, strict=True))


def is_measurable(spread, other):
    """Returns whether two medians differ by more than either of them varies."""
    return abs(spread.median - other.median) > max(spread.width, other.width)
