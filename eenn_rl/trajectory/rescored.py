"""The file that re-scoring writes: distinct logged architectures, as logged and as costed elsewhere."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from eenn_rl.trajectory.layout import LIBVER, compression
from eenn_rl.trajectory.overlay import Overlay
from eenn_rl.trajectory.publish import PublishedFile
from eenn_rl.trajectory.schema import TrajectoryError

RESCORED_FORMAT = "eenn-rl re-scored architectures"
RESCORED_VERSION = 1


def write_rescored(path: Path, columns: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """A new file: `columns` [n, ...] under /architectures, `meta` (JSON data) under /meta. It appears as a whole."""
    published = PublishedFile(path)
    try:
        if published.handle is not None:
            raise TrajectoryError(f"{path}: expected no file, found one: choose another with --out")
        overlay = Overlay()
        with h5py.File(overlay, "w", libver=LIBVER) as file:
            file.attrs["format"] = np.bytes_(RESCORED_FORMAT.encode())
            file.attrs["format_version"] = np.int32(RESCORED_VERSION)
            for name, data in meta.items():
                file.create_dataset(f"meta/{name}", data=np.bytes_(json.dumps(data, sort_keys=True).encode()))
            for name, column in columns.items():
                options = compression(column.dtype) if len(column) else {}
                file.create_dataset(f"architectures/{name}", data=column, **options)
        published.publish(overlay.take())
    finally:
        published.close()
