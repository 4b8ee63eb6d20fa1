"""The shared weights: one network with every branch at every block, at every bit-width.

First the plain backbone trains at the widest bits (trained jointly from scratch, shared weights end several points
below it). Then each step draws a path of bits as an architecture could have, and all heads on it train together,
imitating the last one. All early heads together weigh the same in the gradient of the trunk however many blocks there
are: an architecture has a few, and nine at half the classifier's weight each held ResNet-20's trunk back. Every
bit-width has weights of its own, started from the plain ones: 2-bit weights inside a shared set hurt every other width
(compare Any-Precision DNNs, Yu et al. 2021, who share weights but not batch norms).
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eenn_rl.backbone import Backbone
from eenn_rl.branches import BRANCHES
from eenn_rl.errors import InputFileError
from eenn_rl.networks.builder import Head, Network, all_heads
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.graphs import StepReplayer
from eenn_rl.networks.layers import copy_variant
from eenn_rl.networks.loop import (
    REFRESH_EVERY,
    Batches,
    arithmetic,
    descend,
    generator_for,
    load_optimiser,
    load_state,
    make_optimiser,
    one_cycle,
    run_steps,
    save_state,
    set_learning_rate,
)
from eenn_rl.networks.losses import training_loss
from eenn_rl.networks.quantise import refreshing
from eenn_rl.networks.settings import SupernetSettings, supernet_settings_for
from eenn_rl.progress import NullProgress, Progress


@dataclass(frozen=True, eq=False)
class Supernet:
    """Trained shared weights; `settings` and `seed` are what they were trained with."""

    network: Network
    branches: tuple[str, ...]
    bits: tuple[int, ...]
    dataset: str
    settings: SupernetSettings
    seed: int

    def save(self, path: Path) -> None:
        """Write the weights, and what they belong to, to `path`."""
        save_state(path, {"identity": self.identity, "network": self.network.state_dict()})

    @property
    def identity(self) -> str:
        """sha256 of all that decides the weights."""
        return supernet_identity(
            self.network.backbone, self.branches, self.bits, self.dataset, self.settings, self.seed
        )


def supernet_identity(
    backbone: Backbone,
    branches: Sequence[str],
    bits: Sequence[int],
    dataset: str,
    settings: SupernetSettings,
    seed: int,
) -> str:
    """sha256 of all that decides the shared weights."""
    layers = hashlib.sha256(repr(backbone).encode()).hexdigest()
    plain = [layers, list(branches), list(bits), dataset, asdict(settings), seed]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def draw_path(blocks: int, bits: Sequence[int], generator: torch.Generator) -> tuple[int, ...]:
    """Random bits of each block: up to three changes along the path, every number of them as likely.

    Drawn more rarely, mixed paths stay behind what full training gives them, and are ranked too low.
    """

    def below(n: int) -> int:
        return int(torch.randint(n, (1,), generator=generator))

    changes = below(4)
    cuts = sorted(int(c) + 1 for c in torch.randperm(blocks - 1, generator=generator)[:changes]) if blocks > 1 else []
    path: list[int] = []
    for end in (*cuts, blocks):
        path += [bits[below(len(bits))]] * (end - len(path))
    return tuple(path)


class _SupernetTraining:
    """The steps of `train_supernet`."""

    def __init__(
        self,
        backbone: Backbone,
        dataset: Dataset,
        settings: SupernetSettings,
        seed: int,
        branches: Sequence[str],
        bits: Sequence[int],
    ) -> None:
        self.dataset, self.settings, self.seed, self.bits = dataset, settings, seed, tuple(sorted(bits))
        self.heads = all_heads(backbone, branches)
        self.network = Network(backbone, self.heads, self.bits)
        self.network.initialise(generator_for(seed, "weights"))
        self.network.to(dataset.train_x.device)
        self.network.channels_last()
        self.batches = Batches(len(dataset.train_x), settings.batch_size, seed)
        self.fine_batches = Batches(len(dataset.train_x), settings.fine_batch_size or settings.batch_size, seed)
        self.switch_at = settings.static_epochs * self.batches.per_epoch
        self.total = self.switch_at + settings.epochs * self.fine_batches.per_epoch
        self.optimiser = make_optimiser(self.network, settings.learning_rate, settings.weight_decay)
        self.replayer = StepReplayer(dataset.train_x.device)
        self.plain = (max(self.bits),) * len(backbone.blocks)
        self.exit_weight = settings.exit_weight_of_a_block(len(backbone.blocks))

    def step(self, index: int) -> dict[str, float]:
        """One step of gradient descent."""
        chosen = self._chosen(index).to(self.dataset.train_x.device)
        images = self.dataset.view(self.dataset.train_x, chosen, generator_for(self.seed, "view", index))
        images, labels = self.dataset.normalise(images), self.dataset.train_y[chosen]
        self.network.train()
        if index in (0, self.switch_at):
            self._enter(images, plain=index < self.switch_at)
        self._set_rate(index)
        refresh = index % REFRESH_EVERY == 0
        draw = self._draw(index)
        with refreshing(self.network, 0.5) if refresh else nullcontext():
            self.replayer.run(draw, lambda x, y: self._descend(draw, x, y), images, labels, eager=refresh)
        return {}

    def _chosen(self, index: int) -> Tensor:
        """Indices of the images of step `index`; epochs are counted through both phases."""
        if index < self.switch_at:
            return self.batches.at(index)
        before = self.settings.static_epochs * self.fine_batches.per_epoch
        return self.fine_batches.at(before + index - self.switch_at)

    def _set_rate(self, index: int) -> None:
        settings = self.settings
        if index < self.switch_at:
            rate = one_cycle(index, self.switch_at, settings.learning_rate)
        else:
            rate = one_cycle(index - self.switch_at, self.total - self.switch_at, settings.fine_learning_rate)
        set_learning_rate(self.optimiser, rate)

    def _draw(self, index: int) -> tuple[tuple[int, ...], tuple[Head, ...]]:
        """The path of bits, and the heads, that step `index` trains."""
        if index < self.switch_at:
            return self.plain, self.heads[-1:]
        number = index
        if self.settings.distinct_draws:
            pick = generator_for(self.seed, "draw", index)
            number = int(torch.randint(self.settings.distinct_draws, (1,), generator=pick))
        generator = generator_for(self.seed, "path", number)
        path = draw_path(len(self.plain), self.bits, generator)
        chosen: list[Head] = []
        for location in range(len(path)):
            here = [head for head in self.heads if head[0] == location]
            count = self.settings.branches_per_step or len(here)
            chosen += [here[int(i)] for i in torch.randperm(len(here), generator=generator)[:count].sort().values]
        return path, tuple(chosen)

    def _descend(self, draw: tuple[tuple[int, ...], tuple[Head, ...]], images: Tensor, labels: Tensor) -> None:
        with arithmetic(images.device, self.settings.precision):
            loss = training_loss(self.network, images, labels, *draw, self.exit_weight, self.settings.distillation)
        descend(loss, self.network, self.optimiser)

    @torch.no_grad()
    def _enter(self, images: Tensor, *, plain: bool) -> None:
        """Begin a phase: every bit-width takes over the plain weights, and what is new is calibrated."""
        self.replayer.forget()
        with refreshing(self.network), arithmetic(images.device, self.settings.precision):
            if plain:
                self.network(images, self.plain, self.heads[-1:])
                return
            widest = max(self.bits)
            for bits in self.bits:
                if bits != widest:
                    copy_variant(self.network.quantised_layers(), widest, bits)
                self.network(images, (bits,) * len(self.plain), self.heads)

    def finished(self) -> bool:
        """Never before the end."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Network and optimiser."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue."""
        self.network.load_state_dict(state["network"])
        load_optimiser(self.optimiser, state["optimiser"])


def train_supernet(
    backbone: Backbone,
    dataset: Dataset,
    settings: SupernetSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint_dir: Path | None = None,
    *,
    branches: Sequence[str] = BRANCHES,
    bits: Sequence[int] = (2, 4, 8),
) -> Supernet:
    """Train the shared weights of `backbone` on the training images of `dataset`, where its tensors are.

    The same seed gives the same weights. ``checkpoint_dir/supernet.pt`` is written every few seconds, and one of the
    same training is continued exactly.
    """
    settings = supernet_settings_for(dataset.name, settings or SupernetSettings())
    job = _SupernetTraining(backbone, dataset, settings, seed, branches, bits)
    supernet = Supernet(job.network, tuple(branches), job.bits, dataset.name, settings, seed)
    progress = progress or NullProgress()
    progress.phase("shared weights", job.total)
    run_steps(job, checkpoint_dir / "supernet.pt" if checkpoint_dir else None, supernet.identity, progress)
    return supernet


def load_supernet(
    path: Path,
    backbone: Backbone,
    dataset: str,
    settings: SupernetSettings,
    seed: int,
    *,
    branches: Sequence[str] = BRANCHES,
    bits: Sequence[int] = (2, 4, 8),
) -> Supernet:
    """The shared weights that `Supernet.save` wrote; raises `InputFileError` where they are of another training."""
    settings = supernet_settings_for(dataset, settings)
    supernet = Supernet(
        Network(backbone, all_heads(backbone, branches), sorted(bits)), tuple(branches), tuple(sorted(bits)), dataset,
        settings, seed,
    )  # fmt: skip
    state = load_state(path)
    if state.get("identity") != supernet.identity:
        raise InputFileError(f"{path}: expected shared weights of this configuration, found others: train them anew")
    supernet.network.load_state_dict(state["network"])
    return supernet
