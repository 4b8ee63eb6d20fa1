"""Verification records: the numbers that stand in columns of their own, taken from a record's JSON data."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_MEASURED = ("accuracy", "energy_j", "latency_s", "elp")


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


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
