"""`guess_tables`: accuracy tables from a training-free score, so that a new backbone can be searched at once.

A score ranks exits; a search needs accuracies, and which inputs leave. Both are filled in by an assumption, stated
here, and nothing of it is a measurement: networks found with it must be trained (`eenn-rl train` does, by default).

Accuracy: the classifier has `TOP`, the exit with the lowest score `DROP` less, the others in between in proportion to
their score. Inputs: each has a difficulty z = sqrt(AGREEMENT) d + sqrt(1 - AGREEMENT) e, standard normal, d shared by
all exits and e an exit's own. An exit of accuracy a is right where z < t, Phi(t) = a; it sees y = z + NOISE n, n
normal, and is as sure as that allows: P(z < t | y), which is calibrated. The four constants are rounded from the
measured tables of ResNet-8 (`docs/accuracy.md`).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from eenn_rl.backbone import Backbone
from eenn_rl.branches import BRANCHES, CLASSIFIER
from eenn_rl.errors import check, unknown_name
from eenn_rl.levels import confidence_levels
from eenn_rl.networks.builder import Head, all_heads
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.loop import generator_for
from eenn_rl.networks.proxies import PROXIES, Subject
from eenn_rl.progress import NullProgress, Progress
from eenn_rl.tables import AccuracyTables, ConfidenceRule

TOP, DROP, AGREEMENT, NOISE = 0.85, 0.25, 0.8, 1.0
SAMPLES = 2000


def guess_tables(
    proxy: str,
    backbone: Backbone,
    dataset: Dataset,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    branches: Sequence[str] = BRANCHES,
    bits: Sequence[int] = (8,),
    rule: ConfidenceRule = "max_softmax",
) -> AccuracyTables:
    """Tables of `SAMPLES` made-up inputs whose accuracies follow the score `proxy` (a name in `PROXIES`).

    `rule` is the confidence rule of the networks that are trained later; made-up confidences follow none.
    Training-free scores do not see what rounding costs, so `bits` must be one width. Raises `InvalidValueError` for
    more, and for an unknown name.
    """
    if proxy not in PROXIES:
        raise unknown_name("training-free score", proxy, PROXIES)
    check(len(bits) == 1, "bits", list(bits), "one width, as training-free scores do not see what rounding costs")
    heads, blocks, progress = all_heads(backbone, branches), len(backbone.blocks), progress or NullProgress()
    progress.phase(f"scoring by {proxy}", len(heads))
    scores = []
    for done, head in enumerate(heads):
        scores.append(PROXIES[proxy](Subject(backbone, (bits[0],) * (head[0] + 1), (head,)), dataset, seed))
        progress.advance(done + 1)
    confidence, correct = _answers(_accuracies(np.array(scores)), seed)
    return AccuracyTables(
        backbone=backbone,
        branches=tuple(branches),
        bits=tuple(bits),
        dataset=dataset.name,
        confidence_rule=rule,
        row_location=np.array([location for location, _ in heads], np.int16),
        row_branch=np.array([_branch(head, branches) for head in heads], np.int16),
        row_bits=np.array([[bits[0] if i <= at else 0 for i in range(blocks)] for at, _ in heads], np.uint8),
        confidence=confidence_levels(confidence.numpy()),
        correct=correct.numpy(),
        temperatures=np.ones(len(heads), np.float32),
        notes=f"guessed from the training-free score {proxy}, not measured: see eenn_rl.networks.guess",
    )


def _branch(head: Head, branches: Sequence[str]) -> int:
    return -1 if head[1] == CLASSIFIER else list(branches).index(head[1])


def _accuracies(scores: np.ndarray) -> Tensor:
    """Of heads in order, the classifier last; none is above `TOP` or `DROP` below it by more than the lowest.

    A score of minus infinity counts as the lowest of the others.
    """
    low = scores.min(where=np.isfinite(scores), initial=np.inf)
    scores = np.where(np.isfinite(scores), scores, low if np.isfinite(low) else 0.0)
    low, top = scores.min(), scores[-1]
    share = np.clip((top - scores) / max(top - low, 1e-12), 0.0, 1.0)
    return torch.from_numpy(TOP - DROP * share)


def _answers(accuracies: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Confidence and correctness of every head for every made-up input, both [heads, SAMPLES]."""
    draws = torch.randn(1 + 2 * len(accuracies), SAMPLES, generator=generator_for(seed, "guess"), dtype=torch.float64)
    shared, own, noise = draws[0], draws[1::2], draws[2::2]
    difficulty = AGREEMENT**0.5 * shared + (1 - AGREEMENT) ** 0.5 * own
    limit = torch.special.ndtri(accuracies).unsqueeze(1)
    spread = (NOISE**2 / (1 + NOISE**2)) ** 0.5  # of z given y; its mean is y / (1 + NOISE^2)
    seen = (difficulty + NOISE * noise) / (1 + NOISE**2)
    return torch.special.ndtr((limit - seen) / spread), difficulty < limit
