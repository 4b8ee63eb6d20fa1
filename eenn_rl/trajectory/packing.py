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


@dataclass(frozen=True)
class Packing:
    """How observations of one run are stored: their first `flags` values as bits, without their `constant` end [c]."""

    flags: int
    constant: Floats

    def pack(self, observations: Floats, lengths: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.uint8], Floats]:
        """Bits uint8 [s, ceil(flags / 8)], the first value highest, and values float32 [s, v] of the steps to keep.

        Of `observations` [n, T, o], those are the first `lengths` [n] of each episode, at least one. Raises
        `InvalidValueError` where, in an episode's first or last step, a flag is neither 0 nor 1 or the end is another
        one than the run's. (The steps between are as sound: an episode takes no flag and no end back.)
        """
        kept = np.flatnonzero(np.arange(observations.shape[1]) < lengths[:, None])
        end = observations.shape[2] - len(self.constant)
        words = observations.view(np.uint32)
        bits = words[:, :, : self.flags] == _ONE
        for step in (np.zeros_like(lengths), lengths - 1):
            seen = words[np.arange(len(words)), step]
            flags = seen[:, : self.flags]
            check(bool(((flags == 0) | (flags == _ONE)).all()), "observation", "another value", "0 or 1 in its flags")
            same = seen[:, end:] == self.constant.view(np.uint32)
            check(bool(same.all()), "observation", "another end", "the end that all of this run's share")
        packed = np.packbits(bits, axis=2).reshape(-1, -(-self.flags // 8))
        return packed[kept], observations.reshape(-1, observations.shape[2])[kept, self.flags : end]

    def unpack(self, bits: npt.NDArray[np.uint8], values: Floats) -> Floats:
        """The observations float32 [s, o]."""
        begin, end = self.flags, self.flags + values.shape[1]
        observations = np.empty((len(bits), end + len(self.constant)), np.float32)
        observations[:, :begin] = np.unpackbits(bits, axis=1, count=begin)
        observations[:, begin:end] = values
        observations[:, end:] = self.constant
        return observations
