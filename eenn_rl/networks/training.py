"""Full training of one architecture, quantisation-aware: `train_full` gives a `TrainedNetwork`.

It begins with the shared weights of its layers where there are some (as Cai et al. 2020, arXiv 1908.09791, fine-tune
theirs), else with a plain network: the backbone at 8 bits, without exits, trained first. From there all exits train
together at their bits, early ones also imitating the last (Phuong and Lampert 2019). Trained jointly from the start,
exits cost a small trunk several points of accuracy. Architectures of one backbone share what they begin with; a static
network is an architecture with one exit, and gets the same beginning, epochs, schedule and augmentation.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eenn_rl.architecture import Architecture
from eenn_rl.backbone import Backbone
from eenn_rl.branches import CLASSIFIER
from eenn_rl.errors import check
from eenn_rl.networks.builder import Head, Network, heads_of, path_of
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.graphs import StepReplayer
from eenn_rl.networks.loop import (
    REFRESH_EVERY,
    Batches,
    arithmetic,
    descend,
    evaluation_batches,
    generator_for,
    load_optimiser,
    make_optimiser,
    one_cycle,
    run_steps,
    set_learning_rate,
)
from eenn_rl.networks.losses import training_loss
from eenn_rl.networks.quantise import refreshing
from eenn_rl.networks.settings import TrainingSettings, training_settings_for
from eenn_rl.networks.supernet import Supernet
from eenn_rl.progress import NullProgress, Progress

WIDEST = 8
"""Bits of the plain network."""
CHECKS = 10
"""How often a training with patience looks at validation accuracy."""


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network trained in full for `architecture`."""

    architecture: Architecture
    network: Network

    def logits(self, dataset: Dataset, images: Tensor) -> np.ndarray:
        """Logits of every exit for uint8 `images`: float32 [exits, N, classes]."""
        return network_logits(self.network, dataset, images, path_of(self.architecture), heads_of(self.architecture))

    def outputs(self, dataset: Dataset, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Max-softmax confidence float32 and prediction int64 of every exit, each [exits, N]."""
        logits = torch.from_numpy(self.logits(dataset, images))
        confidence, prediction = functional.softmax(logits, 2).max(2)
        return confidence.numpy(), prediction.numpy()


@torch.inference_mode()
def network_logits(
    network: Network, dataset: Dataset, images: Tensor, path: Sequence[int], heads: Sequence[Head]
) -> np.ndarray:
    """Logits of `heads` on `path` for uint8 `images`, in evaluation mode: float32 [heads, N, classes]."""
    network.eval()
    device = next(network.parameters()).device
    found = [
        torch.stack(network(dataset.normalise(images[part].to(device)), path, heads)).cpu()
        for part in evaluation_batches(len(images))
    ]
    return torch.cat(found, 1).float().numpy()


class _Phase:
    """Steps `first` to `last` of a training: one cycle of the learning rate over `network` on `path` with `heads`."""

    def __init__(
        self, network: Network, path: Sequence[int], heads: Sequence[Head], dataset: Dataset,
        settings: TrainingSettings, seed: int, steps: range,
    ) -> None:  # fmt: skip
        self.network, self.path, self.heads = network, tuple(path), tuple(heads)
        self.dataset, self.settings, self.seed = dataset, settings, seed
        self.first, self.total = steps.start, len(steps)
        self.network.to(dataset.train_x.device)
        self.network.channels_last()
        self.batches = Batches(len(dataset.train_x), settings.batch_size, seed)
        self.optimiser = make_optimiser(network, settings.learning_rate, settings.weight_decay)
        self.replayer = StepReplayer(dataset.train_x.device)
        self.best, self.best_state, self.without_gain = -1.0, dict[str, Tensor](), 0

    def batch(self, index: int) -> tuple[Tensor, Tensor]:
        """Augmented, normalised images of step `index` of the whole training, and their labels."""
        chosen = self.batches.at(index).to(self.dataset.train_x.device)
        images = self.dataset.view(self.dataset.train_x, chosen, generator_for(self.seed, "view", index))
        return self.dataset.normalise(images), self.dataset.train_y[chosen]

    def step(self, index: int) -> dict[str, float]:
        """One step of gradient descent; before the first, activation steps are calibrated."""
        images, labels = self.batch(self.first + index)
        self.network.train()
        if index == 0:
            with torch.no_grad(), refreshing(self.network), arithmetic(images.device, self.settings.precision):
                self.network(images, self.path, self.heads)
        set_learning_rate(self.optimiser, one_cycle(index, self.total, self.settings.learning_rate))
        refresh = index % REFRESH_EVERY == 0
        with refreshing(self.network, 0.5) if refresh else nullcontext():
            self.replayer.run(self.path, self._descend, images, labels, eager=refresh)
        self._check(index)
        return {}

    def _descend(self, images: Tensor, labels: Tensor) -> None:
        with arithmetic(images.device, self.settings.precision):
            weights = self.settings.exit_weight, self.settings.distillation
            loss = training_loss(self.network, images, labels, self.path, self.heads, *weights)
        descend(loss, self.network, self.optimiser)

    def _check(self, index: int) -> None:
        if not self.settings.patience or (index + 1) % max(1, self.total // CHECKS):
            return
        logits = network_logits(self.network, self.dataset, self.dataset.validation_x, self.path, self.heads[-1:])
        accuracy = float((logits[0].argmax(1) == self.dataset.validation_y.cpu().numpy()).mean())
        if accuracy > self.best:
            self.best, self.without_gain = accuracy, 0
            self.best_state = {key: value.clone() for key, value in self.network.state_dict().items()}
        else:
            self.without_gain += 1

    def finished(self) -> bool:
        """Whether patience has run out."""
        return bool(self.settings.patience) and self.without_gain >= self.settings.patience

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser and the early stop's memory."""
        early = {"best": self.best, "without_gain": self.without_gain, "best_state": self.best_state}
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), **early}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue."""
        self.network.load_state_dict(state["network"])
        load_optimiser(self.optimiser, state["optimiser"])
        self.best, self.without_gain, self.best_state = state["best"], state["without_gain"], state["best_state"]

    def result(self) -> Network:
        """The network, at its best check where there were any."""
        if self.best_state:
            self.network.load_state_dict(self.best_state)
        return self.network


def _identity(what: list[Any], backbone: Backbone, dataset: Dataset, settings: dict[str, Any], seed: int) -> str:
    layers = hashlib.sha256(repr(backbone).encode()).hexdigest()
    plain = [what, layers, dataset.name, len(dataset.train_x), settings, seed]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def training_identity(
    architecture: Architecture, dataset: Dataset, settings: TrainingSettings, seed: int, shared: Supernet | None
) -> str:
    """sha256 of all that decides the trained weights: cores do not, so that architectures may share a training."""
    what: list[Any] = [(exit_.location, exit_.branch, exit_.bits) for exit_ in architecture.exits]
    if shared is not None:
        what.append(shared.identity)
    return _identity(what, architecture.backbone, dataset, _without(settings, "begin"), seed)


def plain_identity(backbone: Backbone, dataset: Dataset, settings: TrainingSettings, seed: int) -> str:
    """sha256 of all that decides the weights of the plain network."""
    decisive = _without(settings, "begin", "exit_weight", "distillation", "patience")
    return _identity(["plain"], backbone, dataset, decisive, seed)


def _without(settings: TrainingSettings, *names: str) -> dict[str, Any]:
    return {key: value for key, value in asdict(settings).items() if key not in names}


def _steps(dataset: Dataset, settings: TrainingSettings) -> tuple[range, range]:
    """Those of the plain network, and those of the architecture: one at least."""
    total = settings.epochs * Batches(len(dataset.train_x), settings.batch_size, 0).per_epoch
    switch_at = min(round(total * settings.plain_share), total - 1)
    return range(switch_at), range(switch_at, total)


def train_plain(
    backbone: Backbone,
    dataset: Dataset,
    settings: TrainingSettings,
    seed: int = 0,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> Network:
    """The plain network that full trainings of `backbone` start from; kept in `folder`, and looked for there."""
    settings = replace(training_settings_for(dataset.name, settings), patience=0)
    bits = (WIDEST,) * len(backbone.blocks)
    head = (len(bits) - 1, CLASSIFIER)
    network = Network(backbone, [head], [WIDEST])
    network.initialise(generator_for(seed, "weights"))
    job = _Phase(network, bits, [head], dataset, settings, seed, _steps(dataset, settings)[0])
    progress = progress or NullProgress()
    progress.phase("plain network", job.total)
    identity = plain_identity(backbone, dataset, settings, seed)
    run_steps(job, folder / f"{identity[:20]}.plain" if folder else None, identity, progress)
    return job.result()


def _take_over(network: Network, plain: Mapping[str, Tensor]) -> None:
    """Give every bit-width of `network` the plain weights and batch norms (not the activation steps)."""
    state = network.state_dict()
    for key, value in plain.items():
        if ".output." not in key:
            for bits in network.bits:
                state[key.replace(f".variants.{WIDEST}.", f".variants.{bits}.")].copy_(value)


def take_shared(network: Network, shared: Supernet) -> None:
    """Give `network` the shared weights of its layers; raises `InvalidValueError` where there are none for one."""
    held, wanted = shared.network.state_dict(), network.state_dict()
    missing = [key for key, value in wanted.items() if key not in held or held[key].shape != value.shape]
    check(not missing, "shared weights", f"none for {missing[:1]}", "of this backbone, with its branches and bits")
    network.load_state_dict({key: held[key] for key in wanted})


def train_full(
    architecture: Architecture,
    dataset: Dataset,
    settings: TrainingSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    shared: Supernet | None = None,
) -> TrainedNetwork:
    """Train `architecture` on the training images of `dataset`; only `patience` looks at validation.

    It begins with the weights of `shared`, as they are now, where the settings ask for it, or else with the plain
    network, which then lies beside `checkpoint`, for others to share. Runs where the data set's tensors are. The same
    seed gives the same network; `checkpoint` is written every few seconds, and one of the same training is continued
    exactly. Raises `InvalidValueError` where `shared` is of another backbone or data set, or lacks a branch or bits.
    """
    settings = training_settings_for(dataset.name, settings or TrainingSettings())
    path, heads = path_of(architecture), heads_of(architecture)
    network = Network(architecture.backbone, heads, sorted(set(path)))
    network.initialise(generator_for(seed, "weights"))
    shared = shared if settings.begin == "shared" else None
    if shared is not None:
        check(shared.dataset == dataset.name, "data set of the shared weights", shared.dataset, repr(dataset.name))
        take_shared(network, shared)
    elif settings.plain_share:
        folder = checkpoint.parent if checkpoint else None
        plain = train_plain(architecture.backbone, dataset, settings, seed, progress, folder)
        _take_over(network, plain.state_dict())
    job = _Phase(network, path, heads, dataset, settings, seed, _steps(dataset, settings)[1])
    progress = progress or NullProgress()
    progress.phase("full training", job.total)
    run_steps(job, checkpoint, training_identity(architecture, dataset, settings, seed, shared), progress)
    return TrainedNetwork(architecture, job.result())
