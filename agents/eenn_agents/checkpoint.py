"""Checkpoints of a search: written whole or not at all, read without running anything that stands in them."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eenn_rl.errors import InputFileError

_WORD = 2**63


def _pack(value: Any) -> Any:
    """Only what torch's restricted reader takes: tensors, plain numbers, strings, lists, dicts."""
    if isinstance(value, dict):
        return {key: _pack(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item) for item in value]
    if isinstance(value, np.ndarray):
        return {"__array__": torch.from_numpy(np.ascontiguousarray(value).copy())}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, int) and not -_WORD <= value < _WORD:
        return {"__int__": str(value)}
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if "__array__" in value:
            return value["__array__"].numpy()
        return int(value["__int__"]) if "__int__" in value else {key: _unpack(item) for key, item in value.items()}
    return [_unpack(item) for item in value] if isinstance(value, list) else value


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (arrays, tensors, numbers, strings, nested) to `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    content = io.BytesIO()  # torch's own writing to a full disk ends in a RuntimeError
    torch.save(_pack(state), content)
    unfinished.write_bytes(content.getbuffer())
    os.replace(unfinished, path)  # noqa: PTH105  (Path.replace is the same call; this reads as what it is)


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote; raises `InputFileError` for anything else."""
    try:
        state = _unpack(torch.load(path, weights_only=True))
    except Exception as error:  # noqa: BLE001  (torch raises whatever a stranger's bytes provoke)
        raise InputFileError(
            f"{path}: expected a search checkpoint, found something else ({type(error).__name__}): delete it to start "
            "the search anew"
        ) from None
    if not isinstance(state, dict):
        raise InputFileError(f"{path}: expected a search checkpoint, found a {type(state).__name__}: delete it")
    return state
