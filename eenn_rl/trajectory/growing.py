"""Growing: a chunked data set that rows are appended to, a whole compressed chunk at a time.

HDF5's own way costs several times as much (benchmarks/log_size.py): each append passes through selections and a cache
of chunks, and zlib is slow. What lies in the file is read like any other chunk.
"""

import itertools
import math
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check

try:
    from isal.isal_zlib import compress as deflate
except ImportError:  # there is none for every machine: zlib takes three times as long
    from zlib import compress as deflate

Array = npt.NDArray[Any]
LEVEL = 2
"""Of deflate, whatever the data set's own filter says: readers need not know it. 3 takes twice as long for no less."""

MOST_BYTES = 1 << 28
"""Kept in memory of one data set."""


class Chunks:
    """Fills chunks of `dataset` with rows and stores them, through its filters: shuffle and deflate, in any order."""

    def __init__(self, dataset: Any) -> None:
        creation = dataset.id.get_create_plist()
        self._filters = [creation.get_filter(index)[0] for index in range(creation.get_nfilters())]
        self._id = dataset.id
        size = math.prod(dataset.chunks[1:], start=dataset.chunks[0] * dataset.dtype.itemsize)
        size *= math.prod(-(-n // c) for n, c in zip(dataset.shape[1:], dataset.chunks[1:], strict=True))
        check(size <= MOST_BYTES, f"bytes of a row of chunks of {dataset.name}", size, f"at most {MOST_BYTES}")
        self.rows, *sizes = dataset.chunks
        corners = itertools.product(*map(range, itertools.repeat(0), dataset.shape[1:], sizes))
        self._chunks = {corner: np.zeros(dataset.chunks, dataset.dtype) for corner in corners}
        self._parts = [tuple(map(slice, corner, np.add(corner, sizes))) for corner in self._chunks]

    def fill(self, at: int, rows: Array) -> None:
        """`rows` become rows `at`, ... of the chunks, 0 being their first."""
        for part, chunk in zip(self._parts, self._chunks.values(), strict=True):
            piece = rows[:, *part]
            chunk[at : at + len(piece), *map(slice, piece.shape[1:])] = piece

    def clear(self) -> None:
        """All rows become zeros."""
        for chunk in self._chunks.values():
            chunk[...] = np.zeros((), chunk.dtype)

    def store(self, start: int) -> None:
        """The data set's rows from `start` on, a multiple of `rows`, are those filled in."""
        for corner, chunk in self._chunks.items():
            self._id.write_direct_chunk((start, *corner), self._filtered(chunk))

    def _filtered(self, chunk: Array) -> Any:
        data: Any = chunk
        for code in self._filters:
            if code == h5py.h5z.FILTER_SHUFFLE:
                data = np.frombuffer(data, np.uint8).reshape(-1, chunk.itemsize).T.tobytes()
            else:
                data = deflate(data, LEVEL)
        return data


class Growing:
    """Appends rows to `dataset`; in the file, and seen by others, they are from `write` on."""

    def __init__(self, dataset: Any) -> None:
        self._dataset, self._chunks, self._row = dataset, Chunks(dataset), dataset.shape[1:]
        self._length = self._written = int(dataset.shape[0])
        last = self._length % self._chunks.rows
        if last:
            self._chunks.fill(0, dataset[self._length - last :])

    def __len__(self) -> int:
        """Rows, written or not."""
        return self._length

    def append(self, rows: Array) -> None:
        """Add `rows` [n, ...]."""
        most = self._chunks.rows
        while len(rows):
            at = self._length % most
            part, rows = rows[: most - at], rows[most - at :]
            self._chunks.fill(at, part)
            self._length += len(part)
            if at + len(part) == most:
                self.write()
                self._chunks.clear()

    def write(self) -> None:
        """Let the data set hold what was appended."""
        if self._written < self._length:
            self._dataset.id.set_extent((self._length, *self._row))
            self._chunks.store((self._length - 1) // self._chunks.rows * self._chunks.rows)
            self._written = self._length

    def read(self, start: int = 0, stop: int | None = None) -> Array:
        """Rows `start` to `stop` - 1."""
        self.write()
        found: Array = self._dataset[start:stop]
        return found
