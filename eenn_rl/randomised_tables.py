"""Accuracy tables varied at random: networks that might have been, for a policy that is to serve data not yet seen.

Whatever is varied, an input's answers stay answers that a real network gave to one real input, so exits agree and
disagree as measured ones do. Four things vary, as data sets and trainings do:

- *depth*: what an exit at a share x of the backbone's depth answers is what one at x^g answered, g between 1/2.2 and
  2.2: networks that learn early, or late; each branch has an offset of its own besides;
- *bits*: below the widest, a bit-width may do as well as the next wider one, or as badly as the next narrower;
- *difficulty*: inputs are drawn with weights that favour easy or hard ones, by the share of rows that are right;
- *samples*: how many there are.

Between two measured depths each input goes with the nearer one as often as it is near. (Randomising what a policy is
trained on, so that the real thing is one more variation: domain randomisation, Tobin et al. 2017, arXiv 1703.06907.)
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eenn_rl.rows import RowFinder
from eenn_rl.tables import AccuracyTables

WARP = 2.2
"""Greatest exponent of depth, and 1 over the least."""
OFFSET = 0.08
"""Standard deviation of a branch's offset, as a share of the depth."""
SLOPE = 3.0
"""Greatest slope, either way, of an input's log weight over the share of rows that are right about it."""
SAMPLES = (1500, 4000)
"""Least and greatest number of samples."""
WIDER, NARROWER = 0.25, 0.15
"""How often a bit-width does as the next wider one, or as the next narrower one."""


@dataclass(frozen=True)
class _Variation:
    """One draw: where each exit's answers come from. Shares of depth are those after a block: 1 after the last.

    `offsets` [branches] are shares of depth; `bits` says which measured bit-width each does as well as.
    """

    exponent: float
    offsets: npt.NDArray[np.float64]
    bits: dict[int, int]

    def source(self, location: int, branch: int, blocks: int) -> float:
        """The block whose answers an exit after `location` gives, between two of them mostly."""
        share = ((location + 1) / blocks) ** self.exponent + self.offsets[branch]
        return float(np.clip(share * blocks - 1, 0, blocks - 1))


def varied(tables: AccuracyTables, rng: np.random.Generator) -> AccuracyTables:
    """`tables` varied as one draw from `rng` says; the same rows, backbone, branches and bits."""
    variation = _draw(tables, rng)
    chosen = _samples(tables, rng)
    deeper = rng.random(len(chosen))
    finder, blocks = RowFinder(tables), len(tables.backbone.blocks)
    confidence = np.empty((tables.rows, len(chosen)), np.uint8)
    correct = np.empty(confidence.shape, np.bool_)
    for row in range(tables.rows):
        location, branch = int(tables.row_location[row]), int(tables.row_branch[row])
        at = variation.source(location, branch, blocks) if branch >= 0 else float(blocks - 1)
        path = [variation.bits[int(bits)] for bits in tables.row_bits[row, : location + 1]]
        above, below = (_row(finder, path, block, branch, blocks) for block in (int(at), int(np.ceil(at))))
        from_below = deeper < at - int(at)
        for values, source in ((confidence, tables.confidence), (correct, tables.correct)):
            values[row] = np.where(from_below, source[below, chosen], source[above, chosen])
    images = round(tables.images / tables.samples * min(len(chosen), tables.samples))
    return replace(
        tables,
        confidence=confidence,
        correct=correct,
        dataset=f"{tables.dataset}, varied",
        notes=f"{tables.fingerprint} varied at random: no measurement",
        independent_samples=max(1, images),
    )


def _draw(tables: AccuracyTables, rng: np.random.Generator) -> _Variation:
    exponent = float(np.exp(rng.uniform(-np.log(WARP), np.log(WARP))))
    offsets = rng.normal(0, OFFSET, len(tables.branches))
    widths = sorted(tables.bits)
    bits = {}
    for place, width in enumerate(widths):
        step = rng.choice((1, -1, 0), p=(WIDER, NARROWER, 1 - WIDER - NARROWER)) if place < len(widths) - 1 else 0
        bits[width] = widths[max(0, place + step)]
    return _Variation(exponent, offsets, bits)


def _samples(tables: AccuracyTables, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Which inputs, some of them more than once."""
    share = tables.correct.mean(axis=0)
    weight = np.exp(rng.uniform(-SLOPE, SLOPE) * (share - share.mean()))
    count = int(rng.integers(SAMPLES[0], SAMPLES[1] + 1))
    return rng.choice(tables.samples, count, p=weight / weight.sum())


def _row(finder: RowFinder, path: list[int], block: int, branch: int, blocks: int) -> int:
    """The row of the exit after `block` whose bits change at the same shares of the depth as those of `path`."""
    stretched = tuple(path[(place * len(path)) // (block + 1)] for place in range(block + 1))
    return finder.nearest(stretched, block, -1 if block == blocks - 1 else branch)[0]
