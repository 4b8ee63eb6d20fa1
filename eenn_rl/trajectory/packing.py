"""Packing: observations in the little room that what changes in them needs.

An observation begins with values that are 0 or 1 and ends with values that never change in a run. Stored are a bit for
each of the first, the values between, and the end once: a twentieth of the bytes to compress and to hash.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check

Floats = npt.NDArray[np.float32]
_ONE = np.float32(1).view(np.uint32)
BLOCK = 64
"""Episodes packed at a time: what that takes fits the processor's cache."""


@dataclass(frozen=True)
class Packing:
    """How observations of one run are stored: their first `flags` values as bits, without their `constant` end [c]."""

    flags: int
    constant: Floats

    def pack(self, observations: Floats, lengths: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.uint8], Floats]:
        """Bits uint8 [s, ceil(flags / 8)], the first value highest, and values float32 [s, v] of the steps to keep.

        Of `observations` [n, T, o], those are the first `lengths` [n] of each episode, at least one. Raises
        `InvalidValueError` where a flag of an episode's first or last step is neither 0 nor 1, or the end of its first
        step is another one than the run's. (The other steps are as sound: an episode takes no flag and no end back.)
        """
        kept = np.flatnonzero(np.arange(observations.shape[1]) < lengths[:, None])
        ends = np.cumsum(lengths)
        end = observations.shape[2] - len(self.constant)
        bits = np.zeros((BLOCK, observations.shape[1], -(-self.flags // 8) * 8), np.bool_)
        flags = np.empty((len(kept), bits.shape[2] // 8), np.uint8)
        values = np.empty((len(kept), end - self.flags), np.float32)
        at = 0
        for first in range(0, len(lengths), BLOCK):
            block = observations[first : first + BLOCK]
            to = int(ends[: first + BLOCK][-1])
            rows = kept[at:to] - first * block.shape[1]
            here = bits[: len(block)]
            np.equal(block.view(np.uint32)[:, :, : self.flags], _ONE, out=here[:, :, : self.flags])
            between = np.ascontiguousarray(block[:, :, self.flags : end])
            for part, whole in ((np.packbits(here), flags), (between, values)):
                part.reshape(-1, whole.shape[1]).take(rows, 0, out=whole[at:to], mode="clip")
            self._check(block, lengths[first : first + BLOCK])
            at = to
        return flags, values

    def _check(self, observations: Floats, lengths: npt.NDArray[np.integer]) -> None:
        words = observations.view(np.uint32)
        last = words.reshape(-1, words.shape[2])[np.arange(len(words)) * words.shape[1] + lengths - 1, : self.flags]
        for flags in (words[:, 0, : self.flags], last):
            check(bool(((flags == 0) | (flags == _ONE)).all()), "observation", "another value", "0 or 1 in its flags")
        same = words[:, 0, words.shape[2] - len(self.constant) :] == self.constant.view(np.uint32)
        told = "the end that all of this run's share (its cost model was another when it began: begin a new run)"
        check(bool(same.all()), "observation", "another end", told)

    def unpack(self, bits: npt.NDArray[np.uint8], values: Floats) -> Floats:
        """The observations float32 [s, o]."""
        begin, end = self.flags, self.flags + values.shape[1]
        observations = np.empty((len(bits), end + len(self.constant)), np.float32)
        observations[:, :begin] = np.unpackbits(bits, axis=1, count=begin)
        observations[:, begin:end] = values
        observations[:, end:] = self.constant
        return observations
