"""What the numbers of a result must be, so that what reads them later can count on it: finite, and one per exit."""

from collections.abc import Sequence
from math import isfinite
from typing import Protocol

from eenn_rl.errors import check

COSTS = ("energy_j", "latency_s", "elp")


class Quoted(Protocol):
    """What has an accuracy and costs: energy in J, latency in s, their product in J s."""

    @property
    def accuracy(self) -> float:
        """In 0..1."""
        ...

    @property
    def energy_j(self) -> float:
        """In J."""
        ...

    @property
    def latency_s(self) -> float:
        """In s."""
        ...

    @property
    def elp(self) -> float:
        """In J s."""
        ...


def check_shares(name: str, values: Sequence[float], count: int | None = None) -> None:
    """Raise unless there are `count` of `values`, or without one any, and all lie in 0..1."""
    enough = len(values) == count if count is not None else len(values) > 0
    check(enough, name, values, f"{count}, one per exit" if count is not None else "one at least")
    check(all(0 <= value <= 1 for value in values), name, values, "between 0 and 1")


def check_costs(item: Quoted) -> None:
    """Raise unless the accuracy of `item` lies in 0..1 and its costs are finite and not negative."""
    check_shares("accuracy", (item.accuracy,))
    for name in COSTS:
        value = getattr(item, name)
        check(isfinite(value) and value >= 0, name, value, "finite and at least 0")


def check_static(item: Quoted) -> None:
    """Raise unless others can be measured against `item`: its costs are more than 0, too."""
    check_costs(item)
    for name in COSTS:
        check(getattr(item, name) > 0, name, getattr(item, name), "more than 0")


def check_finite(item: object, *names: str) -> None:
    """Raise unless all numbers of `item` so named, alone or in a tuple, are finite; None is no number."""
    for name in names:
        found = getattr(item, name)
        values = found if isinstance(found, tuple) else () if found is None else (found,)
        check(all(map(isfinite, values)), name, found, "finite")
