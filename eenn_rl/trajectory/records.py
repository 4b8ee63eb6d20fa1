"""Verification records: the numbers that stand in columns of their own, from a record's JSON data; their seals."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.trajectory.schema import VERIFICATIONS

_MEASURED = ("accuracy", "energy_j", "latency_s", "elp")
SEAL = "seal"
"""Key under which a record's text holds its seal; logs of earlier versions have none."""
_PLACE = ("text_start", "text_length")


def verification_row(
    record: Mapping[str, Any], genome: npt.NDArray[np.int16], text_start: int, text_length: int
) -> dict[str, Any]:
    """One row of /verifications; numbers that `record` lacks are NaN."""
    predicted, measured = record.get("predicted") or {}, record.get("measured") or {}
    return {
        "architecture": genome,
        "feasible": bool(record.get("feasible", False)),
        **{f"predicted_{name}": _number(predicted.get(name)) for name in _MEASURED},
        **{name: _number(measured.get(name)) for name in _MEASURED},
        **{name: _number(record.get(name)) for name in ("elp_reduction", "elp_reduction_best_bits")},
        "text_start": text_start,
        "text_length": text_length,
    }


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without its seal."""
    return {key: value for key, value in record.items() if key != SEAL}


def seal_of(record: Mapping[str, Any], row: Mapping[str, Any], before: str) -> str:
    """SHA-256, hex, over the seal before (empty for the first), the numbers in `row` and the record's JSON text."""
    state = hashlib.sha256(before.encode())
    for column in VERIFICATIONS:
        if column.name not in _PLACE:
            state.update(np.ascontiguousarray(row[column.name], column.dtype).tobytes())
    state.update(json.dumps(plain(record), sort_keys=True).encode())
    return state.hexdigest()


def altered_records(records: Sequence[Mapping[str, Any]], columns: Mapping[str, npt.NDArray[Any]]) -> tuple[int, ...]:
    """Rows that do not fit their record, or whose record and row do not fit their seal and the one before."""
    found, before = [], ""
    for index, record in enumerate(records):
        row = {name: values[index] for name, values in columns.items()}
        told = verification_row(record, row["architecture"], row["text_start"], row["text_length"])
        fits = all(np.array_equal(row[name], value, equal_nan=name not in _PLACE) for name, value in told.items())
        seal = record.get(SEAL)
        if not fits or (seal is not None and seal != seal_of(record, row, before)) or (seal is None and before):
            found.append(index)
        before = str(seal or "")
    return tuple(found)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
