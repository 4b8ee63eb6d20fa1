"""AccuracyTables: what the shared weights measured on validation data, one row per way to reach an exit.

One file (NumPy's .npz, no pickle) holds all that a search, a replay or another machine needs; no torch.
"""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from eenn_rl.backbone import Backbone
from eenn_rl.errors import InputFileError, InvalidValueError, check
from eenn_rl.levels import LEVELS
from eenn_rl.npz import read_arrays
from eenn_rl.serialization import from_json, to_json
from eenn_rl.whole import whole

ConfidenceRule = Literal["max_softmax", "margin", "entropy"]
CONFIDENCE_RULES: tuple[ConfidenceRule, ...] = ("max_softmax", "margin", "entropy")
FORMAT = "eenn-rl accuracy tables 1"
MAX_BYTES = 2**31
"""Files that unpack to more than this are refused."""

_ARRAYS = ("confidence", "correct", "row_location", "row_branch", "row_bits", "temperatures")
_META = ("dataset", "confidence_rule", "branches", "bits", "notes", "independent_samples")


@dataclass(frozen=True, eq=False)
class AccuracyTables:
    """Per-sample confidence and correctness of every measured row.

    A row is an exit reached over given bits: `row_location` int16 [rows] is its block, `row_branch` int16 [rows] its
    branch (index into `branches`, -1 the classifier), `row_bits` uint8 [rows, blocks] the bits of each block up to the
    location, 0 after it. `confidence` uint8 [rows, samples] holds levels (`eenn_rl.levels`), `correct` bool [rows,
    samples]. `temperatures` float32 [rows] divided the logits before the confidence rule (1: not calibrated).
    `independent_samples` counts the images behind the samples where some are copies of others (augmented); 0: all
    of them. Arrays are read-only: of one that can be written, a copy is taken; a read-only view of
    another is trusted.
    """

    confidence: npt.NDArray[np.uint8]
    correct: npt.NDArray[np.bool_]
    row_location: npt.NDArray[np.int16]
    row_branch: npt.NDArray[np.int16]
    row_bits: npt.NDArray[np.uint8]
    temperatures: npt.NDArray[np.float32]
    backbone: Backbone
    dataset: str
    confidence_rule: ConfidenceRule
    branches: tuple[str, ...]
    bits: tuple[int, ...]
    notes: str = ""
    independent_samples: int = 0

    def __post_init__(self) -> None:
        self._check_arrays()
        self._check_rows()
        for name in _ARRAYS:
            array = getattr(self, name)
            array = array.copy() if array.flags.writeable else np.ascontiguousarray(array)
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def _check_arrays(self) -> None:
        for name in _ARRAYS:
            array = getattr(self, name)
            check(isinstance(array, np.ndarray), f"tables: {name}", type(array).__name__, "a numpy array")
        rows, samples = self.confidence.shape if self.confidence.ndim == 2 else (0, 0)
        check(rows >= 1 and samples >= 1, "tables: confidence", self.confidence.shape, "of shape [rows, samples]")
        expected = {
            "confidence": ((rows, samples), np.uint8),
            "correct": ((rows, samples), np.bool_),
            "row_location": ((rows,), np.int16),
            "row_branch": ((rows,), np.int16),
            "row_bits": ((rows, len(self.backbone.blocks)), np.uint8),
            "temperatures": ((rows,), np.float32),
        }
        for name, (shape, kind) in expected.items():
            array = getattr(self, name)
            found = (array.shape, array.dtype.name)
            check(found == (shape, np.dtype(kind).name), f"tables: {name}", found, f"{np.dtype(kind).name} {shape}")
        highest = int(self.confidence.max())
        check(highest < LEVELS, "tables: confidence", highest, f"levels below {LEVELS}")
        count = self.independent_samples
        check(0 <= count <= samples, "tables: independent_samples", count, f"between 0 and {samples}")
        check(
            self.confidence_rule in CONFIDENCE_RULES,
            "tables: confidence_rule",
            self.confidence_rule,
            "one of " + ", ".join(CONFIDENCE_RULES),
        )

    def _check_rows(self) -> None:
        check(len(set(self.branches)) == len(self.branches), "tables: branches", self.branches, "distinct")
        check(len(set(self.bits)) == len(self.bits), "tables: bits", self.bits, "distinct")
        check(all(bits >= 1 for bits in self.bits), "tables: bits", self.bits, "at least 1")  # 0: after the location
        last = len(self.backbone.blocks) - 1
        location, branch = self.row_location, self.row_branch
        check(bool(((location >= 0) & (location <= last)).all()), "tables: row_location", "others", f"within 0..{last}")
        named = np.where(location == last, branch == -1, (branch >= 0) & (branch < len(self.branches)))
        check(bool(named.all()), "tables: row_branch", "others", "indices into branches, -1 at the last block alone")
        reached = np.arange(last + 1) <= location[:, np.newaxis]
        known = np.where(reached, np.isin(self.row_bits, self.bits), self.row_bits == 0)
        check(bool(known.all()), "tables: row_bits", "others", f"of {self.bits} up to the location and 0 after it")
        keys = np.column_stack([location, branch, self.row_bits])
        check(len(np.unique(keys, axis=0)) == len(keys), "tables: rows", "repeated ones", "distinct")
        check(bool((location == last).any()), "tables: rows", "none", "at least one at the last block")
        good = np.isfinite(self.temperatures) & (self.temperatures > 0)
        check(bool(good.all()), "tables: temperatures", "others", "finite and above 0")

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.confidence.shape[0])

    def lacking(self, branches: Sequence[str]) -> tuple[int, str] | None:
        """A block before the last and one of `branches` that no row is measured for; None where all are."""
        places = set(zip(self.row_location.tolist(), self.row_branch.tolist(), strict=True))
        wanted = product(range(len(self.backbone.blocks) - 1), branches)
        return next((at for at in wanted if (at[0], self.branches.index(at[1])) not in places), None)

    @property
    def samples(self) -> int:
        """Number of validation samples."""
        return int(self.confidence.shape[1])

    @property
    def images(self) -> int:
        """Number of independent validation images."""
        return self.independent_samples or self.samples

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content, as hex digits."""
        digest = hashlib.sha256(json.dumps(self._meta(), sort_keys=True).encode())
        for name in _ARRAYS:
            array = getattr(self, name)
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def _meta(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "levels": LEVELS,
            "backbone": to_json(self.backbone),
            **{name: getattr(self, name) for name in _META},
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tables to `path`, replacing it in one step."""
        target = Path(path)
        try:
            with whole(target) as unfinished, unfinished.open("wb") as file:
                self._write(file)
        except OSError as error:
            raise InputFileError(f"{target}: tables cannot be written: {error.strerror}") from None

    def to_bytes(self) -> bytes:
        """The content of the file that `save` writes."""
        buffer = io.BytesIO()
        self._write(buffer)
        return buffer.getvalue()

    def _write(self, file: BinaryIO) -> None:
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays["correct"] = np.packbits(self.correct, axis=1)
        arrays["meta"] = np.frombuffer(json.dumps(self._meta()).encode(), np.uint8)
        np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "AccuracyTables":
        """The tables in a file that `save` wrote."""
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            shipped = str(path) == "shipped"
            hint = (
                "eenn_rl.problem.shipped_tables(dataset, backbone) loads shipped ones" if shipped else "check the path"
            )
            raise InputFileError(f"{path}: expected accuracy tables (.npz), found no file: {hint}") from None
        except OSError as error:
            raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
        return cls.from_bytes(data, str(path))

    @classmethod
    def from_bytes(cls, data: bytes, source: str) -> "AccuracyTables":
        """The tables in the bytes of such a file; `source` names them in an error."""
        names = (*_ARRAYS, "meta")
        arrays: dict[str, Any] = read_arrays(data, names, source, "accuracy tables (.npz)", MAX_BYTES)
        meta = _read_meta(arrays.pop("meta"), source)
        samples = arrays["confidence"].shape[-1] if arrays["confidence"].ndim else 0
        packed = arrays["correct"]
        if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != (samples + 7) // 8:
            raise InputFileError(f"{source}: correct: expected {samples} bits a row, found {packed.shape} bytes")
        arrays["correct"] = np.unpackbits(packed, axis=1, count=samples).astype(np.bool_)
        for array in arrays.values():
            array.setflags(write=False)  # nobody else's, so no copy is needed
        try:
            return cls(**arrays, **meta)
        except InvalidValueError as error:
            raise InputFileError(f"{source}: {error}") from None


def _read_meta(raw: npt.NDArray[Any], source: str) -> dict[str, Any]:
    try:
        meta = json.loads(raw.tobytes().decode())
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{source}: meta: expected JSON, found something else: {error}") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT or meta.get("levels") != LEVELS:
        found = meta.get("format") if isinstance(meta, dict) else meta
        raise InputFileError(f"{source}: expected {FORMAT!r} with {LEVELS} levels, found {found!r}: measure them again")
    return _typed_meta(meta, source)


@dataclass(frozen=True)
class _Meta:
    """The part of a file that is JSON."""

    backbone: Backbone
    dataset: str
    confidence_rule: ConfidenceRule
    branches: tuple[str, ...]
    bits: tuple[int, ...]
    notes: str
    independent_samples: int


def _typed_meta(meta: dict[str, Any], source: str) -> dict[str, Any]:
    names = [item.name for item in fields(_Meta)]
    checked = from_json(_Meta, {name: meta[name] for name in names if name in meta}, f"{source}: meta")
    return {name: getattr(checked, name) for name in names}
