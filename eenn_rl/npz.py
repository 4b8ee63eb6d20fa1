"""read_arrays: a few arrays of an .npz that may be a stranger's, read no further than memory is meant for them."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import InputFileError


def read_arrays(
    file: Path | bytes, names: Iterable[str], source: str, expected: str, most_bytes: int
) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays `names` of an archive, by name; none of them an object array, and no other is unpacked.

    Raises `InputFileError` where one is missing, where all of them would unpack to more than `most_bytes`, and for
    whatever is no archive or damaged: `expected` is what `source` should have been.
    """
    try:
        with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as handle:
            with zipfile.ZipFile(handle) as archive:
                size = sum(item.file_size for item in archive.infolist())
            handle.seek(0)
            arrays = _unpacked(handle, names) if size <= most_bytes else {}
    except Exception as error:  # noqa: BLE001 - archives, compressors and array headers each raise many kinds
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputFileError(f"{source}: expected {expected}, found something else: {reason}") from None
    if size > most_bytes:
        raise InputFileError(f"{source}: expected {expected} of at most {most_bytes} bytes, found {size}")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InputFileError(f"{source}: expected {expected}, found no array {name!r} in the file")
    return arrays


def _unpacked(file: IO[bytes], names: Iterable[str]) -> dict[str, Any]:
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] if name in stored.files else None for name in names}
