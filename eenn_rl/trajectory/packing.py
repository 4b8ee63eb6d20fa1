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

    def pack(self, observations: Floats, kept: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.uint8], Floats]:
        """Bits uint8 [s, ceil(flags / 8)], the first value highest, and values float32 [s, v] of the steps to keep.

        Of `observations` [n, T, o], those are `kept` [n, T], at least the first of each episode.

        Raises `InvalidValueError` where a flag is neither 0 nor 1 or an episode's first step has another end.
        """
        end = observations.shape[2] - len(self.constant)
        words = observations.view(np.uint32)
        flags = words[:, :, : self.flags]
        bits = flags == _ONE
        check(np.array_equal(flags != 0, bits), "observation", "another value", "0 or 1 in its flags")
        same = words[:, 0, end:] == self.constant.view(np.uint32)
        check(bool(same.all()), "observation", "another end", "the end that all of this run's share")
        return np.packbits(bits, axis=2)[kept], observations[:, :, self.flags : end][kept]

    def unpack(self, bits: npt.NDArray[np.uint8], values: Floats) -> Floats:
        """The observations float32 [s, o]."""
        begin, end = self.flags, self.flags + values.shape[1]
        observations = np.empty((len(bits), end + len(self.constant)), np.float32)
        observations[:, :begin] = np.unpackbits(bits, axis=1, count=begin)
        observations[:, begin:end] = values
        observations[:, end:] = self.constant
        return observations
