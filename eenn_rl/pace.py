"""Pace: how much to ask of a slow backend at a time, so that what it answers can be saved before it is asked again."""

import time
from collections.abc import Iterator

PORTION_S = 3.0
"""Seconds that one portion should take at most."""


class Pace:
    """Cuts work into portions of `PORTION_S` at most, as far as `least` at a time allows.

    The first one is the smallest; each may be twice as large as the one before, so that quick work is soon not cut.
    """

    def __init__(self, least: int = 1) -> None:
        self._least = self._size = least

    def portions(self, count: int) -> Iterator[slice]:
        """Slices of `count` items, one after the other; what is done before the next one is asked for is timed."""
        done = 0
        while done < count:
            size = min(self._size, count - done)
            begun = time.monotonic()
            yield slice(done, done + size)
            took = max(time.monotonic() - begun, 1e-9)
            self._size = max(self._least, min(2 * self._size, int(size * PORTION_S / took)))
            done += size
