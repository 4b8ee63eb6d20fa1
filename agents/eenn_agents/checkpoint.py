"""Checkpoints of a search: written whole or not at all, read without running anything that stands in them."""

import io
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch

from eenn_agents.contract import told
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.whole import whole

_WORD = 2**63
_PLAIN = (NoneType, bool, int, float, str, torch.Tensor, torch.nn.Parameter)


def _pack(value: Any, where: str) -> Any:
    """Only what torch's restricted reader takes: tensors, plain numbers, strings, lists, dicts.

    Raises `InvalidValueError` for anything else; `where` is the way there.
    """
    if isinstance(value, dict):
        return {_key(key, where): _pack(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, np.ndarray):
        return {"__array__": _tensor(value, where)}
    if isinstance(value, np.generic):
        plain = value.item()
        return _refused(value, where) if isinstance(plain, np.generic) else _pack(plain, where)
    if type(value) is int and not -_WORD <= value < _WORD:
        return {"__int__": str(value)}
    return value if type(value) in _PLAIN or _is_read_back(value) else _refused(value, where)


def _key(key: Any, where: str) -> Any:
    return key if type(key) in _PLAIN or _is_read_back(key) else _refused(key, f"a key of {where}")


def _tensor(array: npt.NDArray[Any], where: str) -> torch.Tensor:
    try:
        return torch.from_numpy(np.array(array, order="C"))
    except TypeError:  # strings, objects, records, dates
        return _refused(array, where)


def _is_read_back(value: Any) -> bool:
    """Whether torch's restricted reader takes it."""
    content = io.BytesIO()
    try:
        torch.save(value, content)
        content.seek(0)
        torch.load(content, weights_only=True)
    except Exception:  # noqa: BLE001  (whatever a stranger's object raises when it is written)
        return False
    return True


def _refused(value: Any, where: str) -> NoReturn:
    raise InvalidValueError(
        f"{where} must be a number, string, None, tensor, numpy array of numbers, or a list or dict of them, for a "
        f"checkpoint to keep it, found {told(value)}"
    )


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if "__array__" in value:
            return value["__array__"].numpy()
        return int(value["__int__"]) if "__int__" in value else {key: _unpack(item) for key, item in value.items()}
    return [_unpack(item) for item in value] if isinstance(value, list) else value


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (arrays, tensors, numbers, strings, nested) to `path` in one step.

    Raises `InvalidValueError` where `load` would not read it back; of a search's ``agent`` it names the agent.
    """
    agent = state.get("identity", {}).get("agent")
    packed = {
        name: _pack(part, f"agent {agent!r}: state()" if name == "agent" else name) for name, part in state.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()  # torch's own writing to a full disk ends in a RuntimeError
    torch.save(packed, content)
    with whole(path) as unfinished:
        unfinished.write_bytes(content.getbuffer())


def load(path: Path, job: str = "search", otherwise: str = "") -> dict[str, Any]:
    """What `save` wrote; raises `InputFileError` for anything else.

    `job` is what it is a checkpoint of, `otherwise` what there is to do but to delete it.
    """
    try:
        state = _unpack(torch.load(path, weights_only=True))
        found = None if isinstance(state, dict) else f"a {type(state).__name__}"
    except Exception as error:  # noqa: BLE001  (torch raises whatever a stranger's bytes provoke)
        state, found = {}, f"something else ({type(error).__name__})"
    if found is not None:
        raise InputFileError(
            f"{path}: expected a {job} checkpoint, found {found}: {otherwise}delete it to start the {job} anew"
        )
    return dict(state)
