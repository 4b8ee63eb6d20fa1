"""The embedded data set: scikit-learn's handwritten digits, placed on a 16x16 canvas.

1,797 real 8x8 images (E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998), split once and for
all, stratified by class. Each original is rotated, scaled, shifted and sheared at random and covered with noise, more
or less strongly, so that some inputs are easy and some are not: that gives early exits something to decide. Every
image of a split comes from originals of that split alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CANVAS = 16
SPLIT_SEED = 20240511
VALIDATION_ORIGINALS, TEST_ORIGINALS = 360, 360
VALIDATION_RENDERINGS, TEST_RENDERINGS = 6, 10
"""Renderings of each original."""


@dataclass(frozen=True)
class Originals:
    """8x8 images in 0..1 [N, 8, 8], labels [N], and each image's index in scikit-learn's data set [N]."""

    images: Tensor
    labels: Tensor
    indices: Tensor


def split_indices(labels: np.ndarray, seed: int, validation: int, test: int) -> tuple[np.ndarray, ...]:
    """Stratified, disjoint (train, validation, test) indices, sorted; the same for one seed, always."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    ranks = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        ranks[members] = (np.arange(len(members)) + rng.random()) / len(members)
    by_rank = np.argsort(ranks, kind="stable")
    return tuple(
        np.sort(part) for part in (by_rank[test + validation :], by_rank[test : test + validation], by_rank[:test])
    )


def load_originals() -> tuple[Originals, Originals, Originals]:
    """The originals of the (train, validation, test) splits."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images.astype(np.float32) / 16)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    parts = split_indices(bunch.target, SPLIT_SEED, VALIDATION_ORIGINALS, TEST_ORIGINALS)
    train, validation, test = (Originals(images[part], labels[part], torch.from_numpy(part)) for part in parts)
    return train, validation, test


@dataclass(frozen=True)
class Difficulty:
    """Bounds of the random changes: degrees, factors of size, pixels of the canvas, standard deviation of noise."""

    rotation: float = 30.0
    smallest: float = 0.7
    largest: float = 1.15
    shift: float = 2.5
    shear: float = 0.2
    noise: float = 0.18
    clutter: float = 0.4


def _affine(n: int, difficulty: Difficulty, generator: torch.Generator) -> Tensor:
    """Random maps from canvas to original coordinates, [n, 2, 3], both in -1..1."""
    draw = torch.rand(n, 5, generator=generator) * 2 - 1
    angle = draw[:, 0] * np.pi / 180 * difficulty.rotation
    middle, reach = (difficulty.largest + difficulty.smallest) / 2, (difficulty.largest - difficulty.smallest) / 2
    size = 1 / (middle + reach * draw[:, 1])
    cos, sin, shear = torch.cos(angle) * size, torch.sin(angle) * size, draw[:, 2] * difficulty.shear
    shift = draw[:, 3:] * difficulty.shift / (CANVAS / 2)
    linear = torch.stack([torch.stack([cos, shear * cos - sin], 1), torch.stack([sin, shear * sin + cos], 1)], 1)
    return torch.cat([linear, -(linear @ shift.unsqueeze(2))], 2)


def render(images: Tensor, generator: torch.Generator, difficulty: Difficulty | None = None) -> Tensor:
    """One random placement of each of `images` [N, 8, 8] on the canvas: uint8 [N, 1, 16, 16]."""
    difficulty = difficulty or Difficulty()
    n = len(images)
    grid = functional.affine_grid(_affine(n, difficulty, generator), [n, 1, CANVAS, CANVAS], align_corners=False)
    placed = functional.grid_sample(images.unsqueeze(1), grid, mode="bilinear", align_corners=False)
    strength = torch.rand(n, 1, 1, 1, generator=generator)
    noise = torch.randn(n, 1, CANVAS, CANVAS, generator=generator) * difficulty.noise * strength
    coarse = torch.rand(n, 1, 4, 4, generator=generator) * difficulty.clutter * strength
    clutter = functional.interpolate(coarse, size=(CANVAS, CANVAS), mode="bilinear", align_corners=False)
    return ((placed * (1 - clutter) + clutter + noise).clamp(0, 1) * 255).round().to(torch.uint8)


def render_split(originals: Originals, renderings: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """`renderings` images of each original: images uint8, labels, and which original each shows."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.cat([render(originals.images, generator) for _ in range(renderings)])
    return images, originals.labels.repeat(renderings), originals.indices.repeat(renderings)
