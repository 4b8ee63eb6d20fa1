"""Puts `RunMeta` and the empty columns of a new trajectory file into HDF5."""

import hashlib
import json
import time
from typing import Any

import numpy as np

from eenn_rl.trajectory.growing import LEVEL, Chunks
from eenn_rl.trajectory.meta import RunMeta
from eenn_rl.trajectory.schema import (
    CONSTANT,
    FORMAT,
    FORMAT_VERSION,
    GROUPS,
    OPTIONAL,
    Column,
    Dimensions,
    TrajectoryError,
    chunk_shape,
    columns_of,
    dataset_path,
)

LIBVER = ("v108", "v108")
"""Checksummed headers, and no mark of an open writer in the file: what is published opens everywhere since HDF5 1.8."""

TABLE_CHUNK = 1 << 18
"""Bytes of one chunk of an estimator table, before compression."""


def lay_out(file: Any, meta: RunMeta) -> None:
    """Write `meta` and every column, still empty, into the new file."""
    digests = json.dumps(meta.part_digests(), sort_keys=True)
    write_attributes(file, meta, digests)
    for name, text in {**meta.texts(), "digests": digests}.items():
        file.create_dataset(f"meta/{name}", data=np.bytes_(text.encode()))
    for name, table in meta.tables.items():
        _write_table(file, f"meta/tables/{name}", np.ascontiguousarray(table))
    for group in GROUPS:
        for column in columns_of(group, meta.dimensions):
            _create(file, group, column, meta.dimensions)
    if meta.packing:
        file.create_dataset(f"steps/{CONSTANT}", data=meta.constant)


def write_attributes(file: Any, meta: RunMeta, digests: str) -> None:
    """The root's attributes: what a person or a tool asks first; `digests` is the text of /meta/digests."""
    own = {
        "format": FORMAT,
        "meta_digest": digest_of(digests, meta.fingerprint),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    for name, value in {**own, **described(meta)}.items():
        file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else np.int64(value)
    file.attrs["format_version"] = np.int32(FORMAT_VERSION)
    file.attrs["finished"] = np.int32(0)
    file.attrs["observation_flags"] = np.int32(meta.dimensions.flags)


def described(meta: RunMeta) -> dict[str, str | int]:
    """The attributes that repeat what stands in `meta`."""
    version, backend = meta.versions, meta.backend
    return {
        "fingerprint": meta.fingerprint,
        "package_version": version.get("eenn_rl", ""),
        "python_version": version.get("python", ""),
        "numpy_version": version.get("numpy", ""),
        "backend": backend.get("name", ""),
        "backend_distribution": backend.get("distribution", ""),
        "backend_version": backend.get("version", ""),
        **{"seed" if name == "seed" else f"seed_{name}": int(seed) for name, seed in meta.seeds.items()},
    }


def digest_of(digests: str, fingerprint: str) -> str:
    """SHA-256, hex, over the text of /meta/digests and the fingerprint."""
    return hashlib.sha256(f"{digests}\n{fingerprint}".encode()).hexdigest()


def datasets(file: Any, dimensions: Dimensions) -> dict[str, dict[str, Any]]:
    """The open columns of a file, by group and name; without the groups that an older file lacks."""
    return {
        group: {column.name: file[dataset_path(group, column)] for column in columns_of(group, dimensions)}
        for group in GROUPS if group in file or group not in OPTIONAL
    }  # fmt: skip


def _create(file: Any, group: str, column: Column, dimensions: Dimensions) -> None:
    row = column.row_shape(dimensions)
    file.create_dataset(
        dataset_path(group, column),
        shape=(0, *row),
        maxshape=(None, *row),
        chunks=chunk_shape(group, column, dimensions),
        dtype=column.dtype,
        **({} if column.name == "digest" else compression(np.dtype(column.dtype))),
    )


def _write_table(file: Any, path: str, table: np.ndarray[Any, Any]) -> None:
    if table.dtype.kind not in "buifS" or table.ndim > 4:
        raise TrajectoryError(f"estimator table {path}: expected numbers in at most 4 axes, found {table.dtype}")
    if table.nbytes <= 4096:
        file.create_dataset(path, data=table)
        return
    rows = max(1, TABLE_CHUNK // (table.nbytes // len(table)))
    shape = (min(len(table), rows), *table.shape[1:])
    dataset = file.create_dataset(path, table.shape, table.dtype, chunks=shape, **compression(table.dtype))
    chunks = Chunks(dataset)
    for start in range(0, len(table), chunks.rows):
        chunks.store(start, chunks.cut(table[start : start + chunks.rows]))


def compression(dtype: np.dtype[Any]) -> dict[str, Any]:
    """Deflate, which every HDF5 reader knows; measured in benchmarks/log_size.py.

    Integers, which count up, gain from regrouping their bytes; numbers that come again and again as a whole lose.
    """
    return {"compression": "gzip", "compression_opts": LEVEL, "shuffle": dtype.itemsize > 1 and dtype.kind in "iu"}
