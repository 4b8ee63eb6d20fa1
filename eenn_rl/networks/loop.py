"""A training loop that can be interrupted anywhere and continued exactly.

Every random draw of step i comes from a generator seeded by (seed, purpose, i): no state of a random generator needs to
be kept, and a checkpoint is the network, the optimiser and the step's number.
"""

import hashlib
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import cos, pi
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from eenn_rl.errors import InputFileError
from eenn_rl.networks.allocation import kept_memory
from eenn_rl.networks.layers import Variant
from eenn_rl.progress import Progress
from eenn_rl.whole import whole

SAVE_EVERY_S = 8.0
GRADIENT_NORM = 25.0
"""Bound on the norm of a step's gradient: two to ten times the usual, so that it strikes outliers alone."""
LOGIT_INPUTS = 64
"""Inputs of a logits layer beyond which its learning rate falls in proportion."""
REFRESH_EVERY = 16
"""Steps between two looks at the activation steps."""


class Trainable(Protocol):
    """What `run_steps` drives."""

    total: int

    def step(self, index: int) -> dict[str, float]:
        """Do step `index`; facts for the progress display come back."""
        ...

    def finished(self) -> bool:
        """Whether to stop before `total`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a later step depends on: tensors, numbers and containers of them."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        ...


def generator_for(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A generator that depends on its three arguments alone."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write `state` so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()  # torch's own writing to a full disk ends in a RuntimeError
    torch.save(state, content)
    with whole(path) as unfinished:
        unfinished.write_bytes(content.getbuffer())


def load_state(path: Path) -> dict[str, Any]:
    """The state in `path`, tensors and plain values only; raises `InputFileError` for anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputFileError(f"{path}: expected saved weights, found no file: check the path") from None
    except Exception as error:  # noqa: BLE001 - torch raises many kinds for a file that is not its own
        reason = str(error).splitlines()[0][:80]
        raise InputFileError(f"{path}: expected weights saved by eenn-rl, found something else ({reason})") from None
    if not isinstance(state, dict):
        raise InputFileError(f"{path}: expected weights saved by eenn-rl, found a {type(state).__name__}")
    return state


def run_steps(job: Trainable, checkpoint: Path | None, identity: str, progress: Progress) -> None:
    """Run `job` to its end, from `checkpoint` where that holds work of the same `identity`."""
    start = 0
    if checkpoint is not None and checkpoint.exists():
        state = load_state(checkpoint)
        if state.get("identity") == identity:
            job.load_state_dict(state["job"])
            start = int(state["step"])
    with kept_memory():
        _run_from(start, job, checkpoint, identity, progress)
    if checkpoint is not None and start < job.total:
        save_state(checkpoint, {"identity": identity, "step": job.total, "job": job.state_dict()})


def _run_from(start: int, job: Trainable, checkpoint: Path | None, identity: str, progress: Progress) -> None:
    """Steps from `start` on, with checkpoints every `SAVE_EVERY_S` seconds."""
    saved = time.monotonic()
    for index in range(start, job.total):
        if job.finished():
            return
        facts = job.step(index)
        progress.advance(index + 1, **facts)
        if checkpoint is not None and time.monotonic() - saved > SAVE_EVERY_S:
            save_state(checkpoint, {"identity": identity, "step": index + 1, "job": job.state_dict()})
            saved = time.monotonic()


def one_cycle(step: int, total: int, peak: float) -> float:
    """Learning rate at `step`: linear to `peak` over the first eighth, then a half cosine to nothing."""
    rise = max(1, total // 8)
    if step < rise:
        return peak * (step + 1) / rise
    return peak * (1 + cos(pi * (step - rise) / max(1, total - rise))) / 2


def make_optimiser(network: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.SGD:
    """Nesterov SGD, with decay on weights alone.

    Logits layers of many inputs learn at a lower rate. Their inputs are rectified and of about unit mean square, so the
    curvature of cross-entropy in their weights grows with the number of inputs: at the rate of the normalised layers, a
    linear branch of 256 inputs on an early map oscillated and tore the shared trunk with it.
    """
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module in network.modules():
        inputs = module.logit_inputs if isinstance(module, Variant) else 0
        gain = min(1.0, LOGIT_INPUTS / inputs) if inputs else 1.0
        for parameter in module.parameters(recurse=False):
            grouped.setdefault((weight_decay if parameter.dim() > 1 else 0.0, gain), []).append(parameter)
    groups = [{"params": found, "weight_decay": decay, "gain": gain} for (decay, gain), found in grouped.items()]
    device = next(network.parameters()).device
    if device.type != "cuda":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, nesterov=True)
    # One kernel for all, and rates that a captured step reads anew: see `eenn_rl.networks.graphs`.
    groups = [{**group, "lr": torch.tensor(learning_rate, device=device)} for group in groups]
    optimiser = torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, nesterov=True, fused=True)
    for parameter in network.parameters():
        optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimiser


def descend(loss: torch.Tensor, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """One step down the gradient of `loss`, whose norm is bounded by `GRADIENT_NORM`."""
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
    optimiser.step()


def arithmetic(device: torch.device, precision: str) -> torch.autocast:
    """The context of a training step in `precision`; weights, gradients and the optimiser stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Continue from `state`; a rate that captured steps read stays the same tensor, and steps are done as here.

    What was saved on another device may have been done in another way.
    """
    own = [{key: group[key] for key in ("lr", "fused", "foreach")} for group in optimiser.param_groups]
    optimiser.load_state_dict(state)
    for group, kept in zip(optimiser.param_groups, own, strict=True):
        group.update(kept)
        for parameter in group["params"]:
            held = optimiser.state[parameter]
            if "momentum_buffer" in held:  # in the parameter's own memory order, which fused steps insist on
                held["momentum_buffer"] = torch.empty_like(parameter.detach()).copy_(held["momentum_buffer"])


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every group: `rate`, times the group's gain."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate * group["gain"])
        else:
            group["lr"] = rate * group["gain"]


class Batches:
    """Shuffled indices, epoch after epoch; the same for one seed, wherever one starts."""

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        self.n, self.size, self.seed = n, min(batch_size, n), seed
        self.per_epoch = max(1, n // self.size)
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def at(self, step: int) -> torch.Tensor:
        """Indices of step `step`, counted from the first epoch."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, torch.randperm(self.n, generator=generator_for(self.seed, "order", epoch))
        return self._order[place * self.size : (place + 1) * self.size]


def evaluation_batches(n: int, size: int = 512) -> Iterator[slice]:
    """Slices that cover 0..n in order."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within, torch computes with `count` threads. Sums of several differ from those of one in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
