"""Temporal loops of a layer and the orders to nest them in.

After LOMA (Symons et al. 2021): loop sizes are split into prime factors; factors of the loop with the most of them are
merged until `LIMIT` remain; every distinct order of these is a candidate.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

LIMIT = 6


@cache
def factors(number: int) -> tuple[int, ...]:
    """Prime factors, increasing, with repetition."""
    found, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    if number > 1:
        found.append(number)
    return tuple(found)


@cache
def temporal_loops(sizes: tuple[int, ...], limit: int = LIMIT) -> tuple[tuple[int, int], ...]:
    """(loop, size) pairs whose product is `sizes`; at most `limit` of them, or one per loop where that is more."""
    split = {loop: list(factors(size)) for loop, size in enumerate(sizes) if size > 1}
    limit = max(limit, len(split))
    while sum(map(len, split.values())) > limit:
        longest = max(split, key=lambda loop: len(split[loop]))
        first, second, *rest = split[longest]
        split[longest] = sorted([first * second, *rest])
    return tuple((loop, size) for loop, parts in split.items() for size in parts)


@cache
def permutations(kinds: tuple[int, ...]) -> npt.NDArray[np.int8]:
    """Distinct orders of a multiset given as labels: [orders, len(kinds)] of indices into it.

    Equal labels keep their relative order, so that each distinct arrangement appears once.
    """
    if not kinds:
        return np.zeros((1, 0), np.int8)
    found: list[tuple[int, ...]] = []

    def extend(chosen: tuple[int, ...], left: tuple[int, ...]) -> None:
        if not left:
            found.append(chosen)
            return
        seen = set()
        for index in left:
            if kinds[index] not in seen:
                seen.add(kinds[index])
                extend((*chosen, index), tuple(i for i in left if i != index))

    extend((), tuple(range(len(kinds))))
    return np.array(found, np.int8)


def orders(loops: tuple[tuple[int, int], ...]) -> npt.NDArray[np.int8]:
    """Every distinct order of `loops`, as indices into it, innermost first."""
    labels: dict[tuple[int, int], int] = {}
    return permutations(tuple(labels.setdefault(loop, len(labels)) for loop in loops))
