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
    """Makes chunks of `dataset` out of rows and stores them, through its filters: shuffle and deflate, in any order."""

    def __init__(self, dataset: Any) -> None:
        creation = dataset.id.get_create_plist()
        self._filters = [creation.get_filter(index)[0] for index in range(creation.get_nfilters())]
        self._id, self._shape = dataset.id, dataset.chunks
        size = math.prod(dataset.chunks[1:], start=dataset.chunks[0] * dataset.dtype.itemsize)
        size *= math.prod(-(-n // c) for n, c in zip(dataset.shape[1:], dataset.chunks[1:], strict=True))
        check(size <= MOST_BYTES, f"bytes of a row of chunks of {dataset.name}", size, f"at most {MOST_BYTES}")
        self.rows, *sizes = dataset.chunks
        self._corners = list(itertools.product(*map(range, itertools.repeat(0), dataset.shape[1:], sizes)))
        self._parts = [tuple(map(slice, corner, np.add(corner, sizes))) for corner in self._corners]

    def cut(self, rows: Array) -> list[Any]:
        """At most `self.rows` rows as the chunks that lie side by side, zeros where there are no values."""
        return [self._filtered(rows[:, *part]) for part in self._parts]

    def store(self, start: int, chunks: list[Any]) -> None:
        """The data set's rows from `start` on, a multiple of `rows`, are what was cut into `chunks`."""
        for corner, chunk in zip(self._corners, chunks, strict=True):
            self._id.write_direct_chunk((start, *corner), chunk)

    def _filtered(self, values: Array) -> Any:
        chunk: Any = np.ascontiguousarray(values)
        if chunk.shape != self._shape:
            chunk = np.zeros(self._shape, values.dtype)
            chunk[tuple(map(slice, values.shape))] = values
        for code in self._filters:
            if code == h5py.h5z.FILTER_SHUFFLE:
                chunk = np.frombuffer(chunk, np.uint8).reshape(-1, values.itemsize).T.tobytes()
            else:
                chunk = deflate(chunk, LEVEL)
        return chunk


class Growing:
    """Appends rows to `dataset`; in the file, and seen by others, they are from `write` on.

    A chunk is compressed once it is full. HDF5 is left alone until `write`: a call takes as long as the compression.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset, self._chunks, self._row = dataset, Chunks(dataset), dataset.shape[1:]
        self._dtype, self._length = dataset.dtype, int(dataset.shape[0])
        self._written = self._length
        self._full: list[tuple[int, list[Any]]] = []
        self._begin = self._length // self._chunks.rows * self._chunks.rows
        self._rest: list[Array] = [dataset[self._begin :]]

    def __len__(self) -> int:
        """Rows, written or not."""
        return self._length

    def append(self, rows: Array) -> None:
        """Add `rows` [n, ...], which change no more."""
        self._rest.append(np.asarray(rows, self._dtype))
        self._length += len(rows)
        most = self._chunks.rows
        if self._length - self._begin >= most:
            rest = np.concatenate(self._rest)
            while len(rest) >= most:
                self._full.append((self._begin, self._chunks.cut(rest[:most])))
                self._begin, rest = self._begin + most, rest[most:]
            self._rest = [rest.copy()]

    def write(self) -> None:
        """Let the data set hold what was appended."""
        if self._written == self._length:
            return
        self._dataset.id.set_extent((self._length, *self._row))
        for start, chunks in self._full:
            self._chunks.store(start, chunks)
        if self._begin < self._length:
            self._rest = [np.concatenate(self._rest)]
            self._chunks.store(self._begin, self._chunks.cut(self._rest[0]))
        self._full, self._written = [], self._length

    def read(self, start: int = 0, stop: int | None = None) -> Array:
        """Rows `start` to `stop` - 1."""
        self.write()
        found: Array = self._dataset[start:stop]
        return found
