"""FrontierStore: frontiers of many profiles side by side: the thresholds of many architectures are one argmin."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from eenn_rl.tuning import Frontier

Floats = npt.NDArray[np.float64]

MOST_PROFILES = 100_000
"""Frontiers remembered at once (about 1 kB each); beyond, all are forgotten and found again when needed."""

ASKED = 1024
"""Frontiers found before they are kept: an interrupt loses no more."""

CHUNK = 2048
"""Architectures at a time: what they need stays in the processor's cache."""


class FrontierStore:
    """Finds the frontiers of profiles when first needed, with `find(profiles)`, and keeps them.

    Settings are padded to one number per profile with repetitions of the first, which an argmin never prefers.
    """

    def __init__(self, exits: int, find: Callable[[list[int]], list[Frontier]]) -> None:
        self.exits, self._find = exits, find
        self._clear()

    def _clear(self) -> None:
        self._place = np.full(1024, -1, np.int64)
        self._used = 0
        # float32 holds every count below 2**24 exactly.
        self._counts = np.zeros((self.exits, 256, 8), np.float32)
        self._right = np.zeros_like(self._counts)
        self._levels = np.zeros((256, 8, self.exits), np.uint8)

    def choose(self, profiles: npt.NDArray[np.int64], weights: Floats) -> tuple[Floats, Floats, npt.NDArray[np.uint8]]:
        """For each of n architectures the setting of least expected weight.

        `weights` [n, exits] are those of an input that leaves at each exit. Returns, [n, exits] each, inputs leaving
        and those of them that are right, float64, and threshold levels, uint8. The sum over exits is taken in order;
        the first of equals wins.
        """
        place = self._places(profiles)
        best = np.empty(len(place), np.int64)
        for start in range(0, len(place), CHUNK):
            part = slice(start, start + CHUNK)
            total = self._counts[0][place[part]] * weights[part, 0, np.newaxis]
            for k in range(1, self.exits):
                total += self._counts[k][place[part]] * weights[part, k, np.newaxis]
            best[part] = total.argmin(axis=1)
        counts, right = (values[:, place, best].T.astype(np.float64) for values in (self._counts, self._right))
        return counts, right, self._levels[place, best]

    def _places(self, profiles: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        highest = int(profiles.max(initial=-1))
        if highest >= len(self._place):
            grown = np.full(max(2 * len(self._place), highest + 1), -1, np.int64)
            grown[: len(self._place)] = self._place
            self._place = grown
        missing = np.unique(profiles[self._place[profiles] < 0])
        if self._used and self._used + len(missing) > MOST_PROFILES:
            self._clear()
            return self._places(profiles)
        for part in np.split(missing, range(ASKED, len(missing), ASKED)):
            for profile, found in zip(part.tolist(), self._find(part.tolist()), strict=True):
                self._add(profile, found)
        return self._place[profiles]

    def _add(self, profile: int, found: Frontier) -> None:
        settings, exits = found.counts.shape
        self._make_room(self._used + 1, settings)
        at = self._used
        padded = np.zeros(self._levels.shape[1], np.int64)
        padded[:settings] = np.arange(settings)
        self._counts[:exits, at] = found.counts[padded].T
        self._right[:exits, at] = found.right[padded].T
        self._levels[at, :, :exits] = found.thresholds[padded]
        # Last, so that an interrupt leaves no half-filled profile behind.
        self._used, self._place[profile] = at + 1, at

    def _make_room(self, profiles: int, settings: int) -> None:
        """Grow by doubling; new columns repeat the first setting."""
        held, width = self._levels.shape[:2]
        if settings > width:
            more = -(-settings // 8) * 8 - width
            self._counts = np.concatenate([self._counts, np.repeat(self._counts[:, :, :1], more, 2)], 2)
            self._right = np.concatenate([self._right, np.repeat(self._right[:, :, :1], more, 2)], 2)
            self._levels = np.concatenate([self._levels, np.repeat(self._levels[:, :1], more, 1)], 1)
        if profiles > held:
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)], 1)
            self._right = np.concatenate([self._right, np.zeros_like(self._right)], 1)
            self._levels = np.concatenate([self._levels, np.zeros_like(self._levels)])
