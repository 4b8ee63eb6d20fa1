"""Bounds that numbers of an accelerator keep, each with the field's name in its error."""

from math import inf

from eenn_rl.errors import check

MOST = 2**53
"""The largest count: up to here a float holds every integer."""


def check_count(value: int, field: str) -> None:
    """Raise unless `value` counts something: bits, units, a size."""
    check(value >= 1, field, value, "at least 1")
    check(value <= MOST, field, value, f"at most {MOST}")


def check_amount(value: float, field: str) -> None:
    """Raise unless `value` is an energy, or anything else of which there may be none."""
    check(0 <= value < inf, field, value, "at least 0, and finite")


def check_positive(value: float, field: str) -> None:
    """Raise unless `value` is a clock, a voltage, a throughput: anything that cannot be 0."""
    check(0 < value < inf, field, value, "more than 0, and finite")
