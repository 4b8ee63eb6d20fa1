"""Looks a trajectory file over before anything of it is read.

Types, shapes, links and sizes that are not as they should be end here, so that reading executes nothing and allocates
no more than the file's own size can explain.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from eenn_rl.errors import InvalidValueError
from eenn_rl.trajectory.schema import (
    CONSTANT,
    EPISODES,
    FORMAT,
    FORMAT_VERSION,
    GROUPS,
    OPTIONAL,
    PACKED_STEPS,
    STEPS,
    VALUES,
    Column,
    Dimensions,
    TrajectoryError,
    columns_of,
    dataset_path,
)

DEFLATE = 1032
"""Deflate never shrinks data more than this (zlib's documentation, technical details)."""
MOST_CHUNK_BYTES = 1 << 24
MOST_TEXT_BYTES = 1 << 26
MOST_TABLES = 256
MOST_CONSTANT = 1 << 20


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever HDF5 or NumPy say about a damaged file within becomes one clear line."""
    try:
        yield
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
        MemoryError,
        AttributeError,
    ) as error:
        if isinstance(error, TrajectoryError):
            raise
        detail = " ".join(str(error).split())[:120]
        raise TrajectoryError(
            f"{path}: expected a trajectory file, found damaged content ({detail}): use another copy of the log"
        ) from None


class Guard:
    """Hands out datasets of one open file, each checked."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path = file, path
        self._size = path.stat().st_size

    def refuse(self, what: str, expected: str, found: object) -> TrajectoryError:
        """The error for a part that is not as it should be."""
        return TrajectoryError(f"{self._path}: {what}: expected {expected}, found {str(found)[:80]}: use another copy")

    def attribute(self, name: str) -> int | float | str | None:
        """A root attribute: a number or a short text; None where absent."""
        root = self._file.attrs
        if name not in root:
            return None
        kind = root.get_id(name)
        if kind.shape != () or kind.dtype.kind not in "iufS" or kind.dtype.itemsize > 4096:
            raise self.refuse(f"attribute {name}", "a number or a short text", kind.dtype)
        value = root[name]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value.item()

    def check_format(self) -> None:
        """The file is a trajectory file of a version this package reads."""
        if self.attribute("format") != FORMAT:
            raise self.refuse("the file", f"{FORMAT} (an eenn-rl log)", "another kind of HDF5 file")
        version = self.attribute("format_version")
        if not isinstance(version, int) or version < 1:
            raise self.refuse("format_version", "a positive integer", version)
        if version > FORMAT_VERSION:
            raise TrajectoryError(
                f"{self._path}: expected format_version {FORMAT_VERSION} or older, found {version}: "
                "the log was written by a newer eenn-rl; upgrade this one"
            )

    def dataset(self, name: str) -> Any:
        """The dataset at `name`, reached through plain links only and holding its data itself."""
        group: Any = self._file
        for part in name.split("/"):
            link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
            if not isinstance(link, h5py.HardLink):
                raise self.refuse(name, "a dataset of its own", "nothing" if link is None else type(link).__name__)
            group = group[part]
        if not isinstance(group, h5py.Dataset):
            raise self.refuse(name, "a dataset", type(group).__name__)
        self._check_storage(name, group)
        return group

    def _check_storage(self, name: str, dataset: Any) -> None:
        creation = dataset.id.get_create_plist()
        layout = creation.get_layout()
        if dataset.shape is None or layout not in (h5py.h5d.CHUNKED, h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
            raise self.refuse(name, "data stored in the file", "a null or virtual dataset")
        if creation.get_external_count():
            raise self.refuse(name, "data stored in the file", "data stored in other files")
        filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
        if set(filters) - {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE} or len(filters) > 2:
            raise self.refuse(name, "at most shuffle and deflate as filters", filters)
        if dataset.dtype.kind not in "buifS":
            raise self.refuse(name, "plain numbers or fixed-length text", dataset.dtype)
        self._check_size(name, dataset)

    def _check_size(self, name: str, dataset: Any) -> None:
        """What a dataset claims to hold must be explained by what the file stores for it."""
        claimed = int(np.prod([int(n) for n in dataset.shape], dtype=object)) * dataset.dtype.itemsize
        if dataset.chunks is None:
            if claimed > min(self._size, dataset.id.get_storage_size()):
                raise self.refuse(name, f"at most the file's {self._size} bytes", f"{claimed} bytes claimed")
            return
        chunk = int(np.prod([int(n) for n in dataset.chunks], dtype=object)) * dataset.dtype.itemsize
        if chunk > MOST_CHUNK_BYTES:
            raise self.refuse(name, f"chunks of at most {MOST_CHUNK_BYTES} bytes", f"{chunk} bytes")
        stored = dataset.id.get_storage_size()
        if stored > self._size or claimed > DEFLATE * stored + chunk * bool(stored):
            raise self.refuse(name, "a size that the stored data explains", f"{claimed} bytes in {stored} stored")

    def column(self, group: str, column: Column, dimensions: Dimensions | None = None) -> Any:
        """A column's dataset, of the type and row shape it should have."""
        name = dataset_path(group, column)
        dataset = self.dataset(name)
        if dataset.dtype != np.dtype(column.dtype):
            raise self.refuse(name, f"type {column.dtype}", dataset.dtype)
        if dimensions is not None and dataset.shape[1:] != column.row_shape(dimensions):
            raise self.refuse(name, f"rows of shape {column.row_shape(dimensions)}", dataset.shape[1:])
        if dataset.chunks is None:
            raise self.refuse(name, "a chunked dataset", "another layout")
        return dataset

    def columns(self) -> tuple[Dimensions, dict[str, dict[str, Any]]]:
        """Every column, all of a group equally long, and the dimensions they share."""
        dimensions = self._dimensions()
        groups = [g for g in GROUPS if g not in OPTIONAL or self._file.get(g, getlink=True) is not None]
        found = {g: {c.name: self.column(g, c, dimensions) for c in columns_of(g, dimensions)} for g in groups}
        for group, datasets in found.items():
            lengths = {dataset.shape[0] for dataset in datasets.values()}
            if len(lengths) != 1:
                raise self.refuse(f"columns of /{group}", "equal lengths", sorted(lengths))
        return dimensions, found

    def _dimensions(self) -> Dimensions:
        flags = self.attribute("observation_flags") or 0
        if not isinstance(flags, int):
            raise self.refuse("observation_flags", "a number of values", flags)
        steps, constant = (PACKED_STEPS, len(self.constant())) if flags else (STEPS, 0)
        shapes = {}
        for group, columns, names in (("steps", steps, ("observations", VALUES, "masks")),
                                      ("episodes", EPISODES, ("architecture", "violations"))):  # fmt: skip
            for column in columns:
                if column.name in names:
                    shape = self.column(group, column).shape
                    shapes[column.name] = int(shape[1]) if len(shape) > 1 else 0
        observation = flags + shapes[VALUES] + constant if flags else shapes["observations"]
        actions, exits, violations = (shapes[name] for name in ("masks", "architecture", "violations"))
        try:
            return Dimensions(observation, actions, exits, violations, flags, constant)
        except InvalidValueError as error:
            raise self.refuse("column shapes", "a trajectory file's", error) from None

    def constant(self) -> npt.NDArray[np.float32]:
        """The end that all observations share."""
        dataset = self.dataset(f"steps/{CONSTANT}")
        if len(dataset.shape) != 1 or dataset.dtype != np.dtype("<f4") or dataset.size > MOST_CONSTANT:
            raise self.refuse(CONSTANT, f"at most {MOST_CONSTANT} float32", f"{dataset.dtype} {dataset.shape}")
        return np.asarray(dataset[...])

    def text(self, name: str) -> str:
        """A fixed-length text."""
        dataset = self.dataset(name)
        if dataset.shape != () or dataset.dtype.kind != "S" or dataset.dtype.itemsize > MOST_TEXT_BYTES:
            raise self.refuse(name, "one text", f"{dataset.dtype} of shape {dataset.shape}")
        return bytes(dataset[()]).decode("utf-8")

    def tables(self, group: str) -> dict[str, Any]:
        """The arrays directly under `group`; none where it is absent."""
        link = self._file["meta"].get(group.rsplit("/", 1)[-1], getlink=True)
        if link is None:
            return {}
        if not isinstance(link, h5py.HardLink) or not isinstance(self._file[group], h5py.Group):
            raise self.refuse(group, "a group of tables", type(link).__name__)
        names = list(self._file[group])
        if len(names) > MOST_TABLES:
            raise self.refuse(group, f"at most {MOST_TABLES} tables", len(names))
        return {name: self.dataset(f"{group}/{name}") for name in names}
