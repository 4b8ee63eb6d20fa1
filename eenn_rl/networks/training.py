"""Full training of one architecture, quantisation-aware: `train_full` gives a `TrainedNetwork`.

All exits train together from the start, early ones also imitating the last (Phuong and Lampert 2019); bit-widths
below 8 first train at 8 bits and take over later. A static network is an
architecture with one exit and gets the same epochs, schedule and augmentation.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eenn_rl.architecture import Architecture
from eenn_rl.networks.builder import Head, Network, heads_of, path_of
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.graphs import StepReplayer
from eenn_rl.networks.layers import copy_variant
from eenn_rl.networks.loop import (
    REFRESH_EVERY,
    Batches,
    descend,
    evaluation_batches,
    generator_for,
    load_optimiser,
    make_optimiser,
    one_cycle,
    run_steps,
    set_learning_rate,
)
from eenn_rl.networks.quantise import refreshing
from eenn_rl.networks.settings import TrainingSettings, training_settings_for
from eenn_rl.progress import NullProgress, Progress

WIDEST = 8
"""Bits of the plain network that low bit-widths start from."""
DISTILLATION_TEMPERATURE = 2.0
CHECKS = 10
"""How often a training with patience looks at validation accuracy."""


def imitation(logits: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence from `teacher`'s softened output (Hinton et al. 2015), both [N, classes]."""
    t = DISTILLATION_TEMPERATURE
    target = functional.softmax(teacher.detach() / t, 1)
    return functional.kl_div(functional.log_softmax(logits / t, 1), target, reduction="batchmean") * t * t


def exit_loss(logits: Tensor, labels: Tensor, teacher: Tensor, distillation: float) -> Tensor:
    """Cross-entropy, with a share of it replaced by imitation of `teacher`."""
    loss = functional.cross_entropy(logits, labels)
    return (1 - distillation) * loss + distillation * imitation(logits, teacher)


@dataclass(frozen=True, eq=False)
class ExitOutputs:
    """What every exit says of every image: logits float32 [exits, N, classes], labels int64 [N]."""

    logits: np.ndarray
    labels: np.ndarray


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


class _FullTraining:
    """The steps of `train_full`."""

    def __init__(self, architecture: Architecture, dataset: Dataset, settings: TrainingSettings, seed: int) -> None:
        self.dataset, self.settings, self.seed = dataset, settings, seed
        self.path, self.heads = path_of(architecture), heads_of(architecture)
        self.plain_path = tuple(max(WIDEST, bits) for bits in self.path)
        backbone = architecture.backbone
        self.network = Network(backbone, self.heads, sorted({*self.path, *self.plain_path}))
        self.network.initialise(generator_for(seed, "weights"))
        self.network.to(dataset.train_x.device)
        self.network.channels_last()
        self.batches = Batches(len(dataset.train_x), settings.batch_size, seed)
        self.total = settings.epochs * self.batches.per_epoch
        self.switch_at = round(self.total * settings.plain_share) if self.plain_path != self.path else 0
        self.optimiser = make_optimiser(self.network, settings.learning_rate, settings.weight_decay)
        self.replayer = StepReplayer(dataset.train_x.device)
        self.best, self.best_state, self.without_gain = -1.0, dict[str, Tensor](), 0

    def batch(self, index: int) -> tuple[Tensor, Tensor]:
        """Augmented, normalised images and their labels."""
        chosen = self.batches.at(index).to(self.dataset.train_x.device)
        images = self.dataset.view(self.dataset.train_x, chosen, generator_for(self.seed, "view", index))
        return self.dataset.normalise(images), self.dataset.train_y[chosen]

    def step(self, index: int) -> dict[str, float]:
        """One step of gradient descent."""
        images, labels = self.batch(index)
        if index in (0, self.switch_at):
            self._enter(images, plain=index < self.switch_at)
        self.network.train()
        set_learning_rate(self.optimiser, self._rate(index))
        path, refresh = self.plain_path if index < self.switch_at else self.path, index % REFRESH_EVERY == 0
        with refreshing(self.network, 0.5) if refresh else nullcontext():
            self.replayer.run(path, lambda x, y: self._descend(path, x, y), images, labels, eager=refresh)
        self._check(index)
        return {}

    def _descend(self, path: tuple[int, ...], images: Tensor, labels: Tensor) -> None:
        outputs = self.network(images, path, self.heads)
        loss = functional.cross_entropy(outputs[-1], labels)
        for logits in outputs[:-1]:
            loss = loss + self.settings.exit_weight * exit_loss(logits, labels, outputs[-1], self.settings.distillation)
        descend(loss, self.network, self.optimiser)

    def _rate(self, index: int) -> float:
        """One cycle, rising anew over a short while after low bit-widths take over."""
        rate = one_cycle(index, self.total, self.settings.learning_rate)
        since, rise = index - self.switch_at, max(1, self.total // 20)
        return rate * (since + 1) / rise if self.switch_at and 0 <= since < rise else rate

    @torch.no_grad()
    def _enter(self, images: Tensor, *, plain: bool) -> None:
        """Begin a phase: low bit-widths take over the weights, and activation steps are calibrated."""
        self.replayer.forget()
        if not plain and self.switch_at:
            for bits in set(self.path) - set(self.plain_path):
                copy_variant(self.network.quantised_layers(), WIDEST, bits)
        self.network.train()
        with refreshing(self.network):
            self.network(images, self.plain_path if plain else self.path, self.heads)

    def _check(self, index: int) -> None:
        every = max(1, (self.total - self.switch_at) // CHECKS)
        if not self.settings.patience or index < self.switch_at or (index + 1 - self.switch_at) % every:
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


def training_identity(architecture: Architecture, dataset: Dataset, settings: TrainingSettings, seed: int) -> str:
    """sha256 of all that decides the trained weights: cores do not, so that architectures may share a training."""
    plain = {
        "backbone": architecture.backbone.name,
        "layers": hashlib.sha256(repr(architecture.backbone).encode()).hexdigest(),
        "exits": [(exit_.location, exit_.branch, exit_.bits) for exit_ in architecture.exits],
        "dataset": [dataset.name, len(dataset.train_x)],
        "settings": asdict(settings),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def train_full(
    architecture: Architecture,
    dataset: Dataset,
    settings: TrainingSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> TrainedNetwork:
    """Train `architecture` on the training images of `dataset`, from scratch; only `patience` looks at validation.

    Runs where the data set's tensors are. The same seed gives the same network; `checkpoint` is written every few
    seconds, and one of the same training is continued exactly.
    """
    settings = training_settings_for(dataset.name, settings or TrainingSettings())
    job = _FullTraining(architecture, dataset, settings, seed)
    progress = progress or NullProgress()
    progress.phase("full training", job.total)
    run_steps(job, checkpoint, training_identity(architecture, dataset, settings, seed), progress)
    return TrainedNetwork(architecture, job.result())
