"""The first of each group of equal rows, fast enough for millions."""

from typing import Any

import numpy as np
import numpy.typing as npt


def first_of_each(rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Indices, ascending, of the rows [n, ...] that no earlier row equals bit for bit.

    Rows are compared by a 64-bit hash of their bytes; groups are checked, and compared by content where hashes collide.
    """
    if not len(rows):
        return np.zeros(0, np.intp)
    words = _words(rows)
    _, first, group = np.unique(_hash(words), return_index=True, return_inverse=True)
    if not np.array_equal(words, words[first[group]]):
        first = np.unique(words, axis=0, return_index=True)[1]
    return np.sort(first)


def _words(rows: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """The rows' bytes as 64-bit words, zeros at the end: uint64 [n, w]."""
    data = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)
    padded = np.zeros((len(rows), -(-data.shape[1] // 8) * 8), np.uint8)
    padded[:, : data.shape[1]] = data
    return padded.view(np.uint64)


def _hash(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Multiply and fold, word by word; the factors are odd and otherwise arbitrary (splitmix64's constants)."""
    factors = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15)
    found = np.zeros(len(words), np.uint64)
    for index, word in enumerate(words.T):
        found = (found ^ word) * np.uint64(factors[index % 3])
        found ^= found >> np.uint64(29)
    return found
