"""Policies as files: an .npz of the acting network's weights and a JSON description; nothing in it is ever run."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from eenn_agents.model import EpisodicPPO
from eenn_agents.network import Actor
from eenn_envs.layout import Layout
from eenn_rl.errors import EennError, InputFileError, InvalidValueError
from eenn_rl.npz import read_arrays
from eenn_rl.serialization import from_json, to_json
from eenn_rl.whole import whole

FORMAT_VERSION = 2
MOST_BYTES = 2**26
"""Files that unpack to more than this are refused; those that are shipped stay below 2**19."""
ACTOR = "mlp_extractor."
CRITIC = ACTOR + "critic."
"""Where stable-baselines3's policy keeps the actor's weights; the critic's are left out."""


@dataclass(frozen=True)
class PolicyInfo:
    """What a policy was trained for: the layout of its problems, the backbone, and how."""

    layout: Layout
    backbone: str
    trained: dict[str, Any]
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class Policy:
    """The weights of a policy by name, and what they are for."""

    info: PolicyInfo
    weights: dict[str, npt.NDArray[np.float32]]

    def fits(self, layout: Layout, backbone: str) -> str | None:
        """Why this policy cannot serve problems of `layout` over `backbone`, in one line; None where it can.

        The number of allocations may differ: the network judges each by itself.
        """
        if self.info.backbone != backbone:
            return f"it was trained for backbone {self.info.backbone!r}, the problem's is {backbone!r}"
        for name in ("branches", "bits", "exits", "cores", "blocks"):
            ours, theirs = getattr(self.info.layout, name), getattr(layout, name)
            if ours != theirs:
                return f"it was trained for {name} {ours}, the problem has {theirs}"
        return None

    def load_into(self, model: EpisodicPPO) -> None:
        """Give the model's acting network these weights."""
        model.policy.load_state_dict(
            {**model.policy.state_dict(), **{name: torch.from_numpy(value) for name, value in self.weights.items()}}
        )


def policy_of(model: EpisodicPPO, layout: Layout, backbone: str, trained: dict[str, Any]) -> Policy:
    """The model's acting network as a policy; `trained` says how it came to be."""
    weights = {
        name: value.detach().numpy().astype(np.float32)
        for name, value in model.policy.state_dict().items()
        if name.startswith(ACTOR) and not name.startswith(CRITIC)
    }
    return Policy(PolicyInfo(layout, backbone, trained), weights)


def save_policy(path: Path, policy: Policy) -> None:
    """Write `policy` to `path`; weights are kept in half precision, which changes no decision that matters."""
    text = json.dumps(to_json(policy.info)).encode()
    arrays = {name: value.astype(np.float16) for name, value in policy.weights.items()}
    buffer = BytesIO()
    np.savez_compressed(buffer, info=np.frombuffer(text, np.uint8), **arrays)  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        unfinished.write_bytes(buffer.getvalue())


def load_policy(path: Path) -> Policy:
    """The policy in a file; raises `InputFileError` for anything that is none."""
    if not path.exists():
        raise InputFileError(f"{path}: expected a policy file, found none: check the path, or pretrain one")
    (described,) = _read(path, ["info"]).values()
    try:
        data = json.loads(described.tobytes())
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{path}: info: expected JSON, found something else: {error}") from None
    info = from_json(PolicyInfo, data, str(path))
    if info.format_version != FORMAT_VERSION:
        raise InputFileError(
            f"{path}: expected policy format {FORMAT_VERSION}, found {info.format_version}: pretrain anew"
        )
    return Policy(info, _weights(path, info.layout))


def _read(path: Path, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    return read_arrays(path, names, str(path), "a policy (an .npz that `eenn-rl pretrain` wrote)", MOST_BYTES)


MOST = {"blocks": 4096, "exits": 64, "allocations": 4096, "cores": 4096}
"""More of anything is no policy: a file that claims it is refused before anything of its size is made."""


def _weights(path: Path, layout: Layout) -> dict[str, npt.NDArray[np.float32]]:
    """The weights in a file, if they are those of an actor for `layout`."""
    for name, most in MOST.items():
        if getattr(layout, name) > most:
            raise InputFileError(f"{path}: expected a layout of at most {most} {name}, found {getattr(layout, name)}")
    for name in ("branches", "bits"):
        if not 1 <= len(getattr(layout, name)) <= MOST["exits"]:
            raise InputFileError(f"{path}: expected a layout with 1 to {MOST['exits']} {name}, found others")
    with torch.device("meta"):  # shapes alone
        state = Actor(layout).state_dict(prefix=ACTOR)
    wanted = {name: tuple(value.shape) for name, value in state.items() if not name.startswith(CRITIC)}
    arrays = _read(path, wanted)
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise InputFileError(f"{path}: expected {name} of shape {shape}, found {arrays[name].shape}")
    floating = all(value.dtype.kind == "f" for value in arrays.values())
    with np.errstate(over="ignore", invalid="ignore"):
        weights = {name: value.astype(np.float32) for name, value in arrays.items()}
    if not floating or not all(np.isfinite(value).all() for value in weights.values()):
        raise InputFileError(f"{path}: expected finite weights, found others: pretrain anew")
    return weights


def _shipped_file(backbone: str) -> Traversable:
    return resources.files("eenn_agents") / "policies" / f"{backbone}.npz"


def shipped_policy(backbone: str) -> Policy | None:
    """The policy that comes with the package for `backbone`; None where there is none."""
    source = _shipped_file(backbone)
    if not source.is_file():
        return None
    with resources.as_file(source) as path:
        return load_policy(path)


def digest_of(wanted: str | None, layout: Layout, backbone: str) -> str:
    """What the setting `policy` stands for now, the same for the same content: a SHA-256 of the file behind it.

    `untrained` where nothing is; as it was asked for where it is no file, as of an agent that has names of its own.
    """
    if wanted == "untrained":
        return wanted
    if wanted in (None, "shipped"):
        if policy_for(None, layout, backbone) is None:
            return "untrained"
        return sha256(_shipped_file(backbone).read_bytes()).hexdigest()
    path = Path(str(wanted))
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else str(wanted)


def policy_for(wanted: str | None, layout: Layout, backbone: str, otherwise: str = "use `untrained`") -> Policy | None:
    """What the setting `policy` asks for: a file's, the shipped one, or None for an untrained one.

    Without a wish, the shipped policy where it fits. Raises `EennError` where what is asked for is missing or does not
    fit; the message says what else there is to do: `otherwise`.
    """
    if wanted == "untrained":
        return None
    if wanted not in (None, "shipped"):
        return _fitting(load_policy(Path(str(wanted))), layout, backbone, str(wanted), otherwise)
    policy = shipped_policy(backbone)
    if wanted is None:
        return policy if policy is not None and policy.fits(layout, backbone) is None else None
    if policy is None:
        raise InvalidValueError(f"no policy is shipped for backbone {backbone!r}: pretrain one, or {otherwise}")
    return _fitting(policy, layout, backbone, "the shipped policy", otherwise)


def _fitting(policy: Policy, layout: Layout, backbone: str, name: str, otherwise: str) -> Policy:
    reason = policy.fits(layout, backbone)
    if reason is not None:
        raise EennError(f"{name}: {reason}: pretrain one for this problem, or {otherwise}")
    return policy
