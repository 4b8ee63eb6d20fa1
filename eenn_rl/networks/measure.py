"""Shared weights -> `AccuracyTables`: what every head says of every validation image, on every path of bits.

Paths share their beginnings, so the outputs of each block are kept and every block runs once per path that ends in
it. Batch norms and activation steps are set anew for each path from training images: then a mixed path is measured
exactly, not through the statistics of another one.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from eenn_rl.branches import CLASSIFIER
from eenn_rl.levels import confidence_levels
from eenn_rl.networks.allocation import kept_memory
from eenn_rl.networks.builder import Head, Network
from eenn_rl.networks.confidence import confidence, fit_temperature
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.loop import SAVE_EVERY_S, load_state, save_state
from eenn_rl.networks.recalibration import Values, advance, calibration_images, classify, recalibrate
from eenn_rl.networks.supernet import Supernet
from eenn_rl.progress import NullProgress, Progress
from eenn_rl.tables import AccuracyTables, ConfidenceRule

Bits = tuple[int, ...]
Row = tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], float]
"""Confidence levels and correctness of each image, and the temperature."""
MOST_ROWS = 1600
"""Beyond so many rows of a table, paths with several changes of bits are left out; those with one change never are."""


def paths_of_length(length: int, bits: Sequence[int], changes: int) -> Iterator[tuple[int, ...]]:
    """Every path of `length` blocks with at most `changes` changes of bits, in lexicographic order."""

    def extend(path: tuple[int, ...], left: int) -> Iterator[tuple[int, ...]]:
        if len(path) == length:
            yield path
            return
        for width in bits:
            spent = int(bool(path) and path[-1] != width)
            if spent <= left:
                yield from extend((*path, width), left - spent)

    return extend((), changes)


def changes_measured(blocks: int, bits: Sequence[int], branches: int) -> int:
    """The most changes of bits along a path such that all such paths fit `MOST_ROWS` rows; at least one."""

    def rows(changes: int) -> int:
        counts = [sum(1 for _ in paths_of_length(length, bits, changes)) for length in range(1, blocks + 1)]
        return sum(counts[:-1]) * branches + counts[-1]

    best = 1
    while best < blocks - 1 and rows(best + 1) <= MOST_ROWS:
        best += 1
    return best


@dataclass
class _Measurement:
    """Walks the tree of paths, depth first."""

    network: Network
    heads: tuple[Head, ...]
    bits: tuple[int, ...]
    changes: int
    labels: Tensor
    rule: ConfidenceRule
    calibrated: bool
    progress: Progress
    checkpoint: Path | None
    identity: str
    rows: dict[tuple[Head, Bits], Row] = field(default_factory=dict)
    finished: set[Bits] = field(default_factory=set)
    saved: float = field(default_factory=time.monotonic)

    def resume(self) -> None:
        """Continue what `checkpoint` holds, where it is of the same measurement."""
        state = load_state(self.checkpoint) if self.checkpoint is not None and self.checkpoint.exists() else {}
        if state.get("identity") == self.identity:
            self.finished = {tuple(path) for path in state["finished"]}
            for (head, path), (levels, right, temperature) in state["rows"]:
                self.rows[(head[0], head[1]), tuple(path)] = (levels.numpy(), right.numpy(), temperature)

    def save(self) -> None:
        """Leave what is measured so far in `checkpoint`, now and then."""
        if self.checkpoint is None or time.monotonic() - self.saved < SAVE_EVERY_S:
            return
        rows = [(key, (torch.from_numpy(a), torch.from_numpy(b), t)) for key, (a, b, t) in self.rows.items()]
        state = {"identity": self.identity, "finished": sorted(self.finished), "rows": rows}
        save_state(self.checkpoint, state)
        self.saved = time.monotonic()

    def walk(self, path: tuple[int, ...], training: Values, validation: Values) -> None:
        """Measure every path that continues `path`; the values are those after it."""
        index = len(path)
        if index == len(self.network.blocks):
            return
        for bits in self.bits:
            further = (*path, bits)
            if further in self.finished or sum(a != b for a, b in pairwise(further)) > self.changes:
                continue
            block = self.network.block(index)
            recalibrate(block, bits, lambda bits=bits: advance(self.network, training, index, bits))  # type: ignore[misc]
            seen, heard = (advance(self.network, values, index, bits) for values in (training, validation))
            for head in self.heads:
                if head[0] == index and (head, further) not in self.rows:
                    self.rows[head, further] = self._judge(head, bits, seen, heard)
                    self.save()
            self.progress.advance(len(self.rows))
            self.walk(further, seen, heard)
            self.finished.add(further)
            self.save()

    def _judge(self, head: Head, bits: int, training: Values, validation: Values) -> Row:
        recalibrate(self.network.head(head), bits, lambda: classify(self.network, training, head, bits))
        logits = classify(self.network, validation, head, bits).float().cpu()
        temperature = fit_temperature(logits, self.labels) if self.calibrated else 1.0
        sure = confidence(logits, self.rule, temperature).numpy()
        return confidence_levels(sure), (logits.argmax(1) == self.labels).numpy(), temperature


@torch.no_grad()
@kept_memory()
def measure_tables(
    supernet: Supernet,
    dataset: Dataset,
    *,
    rule: ConfidenceRule = "max_softmax",
    calibrated: bool = True,
    changes: int | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    notes: str = "",
) -> AccuracyTables:
    """Run the validation images of `dataset` (`Dataset.judged_images`) through every path and head of `supernet`.

    `changes` bounds how often bits change along a path; by default all paths are measured where they fit `MOST_ROWS`
    rows. `calibrated` fits a temperature for every row. The supernet's batch norms are overwritten. `checkpoint` is
    written every few seconds, and one of the same measurement is continued with the same result.
    """
    network, progress = supernet.network, progress or NullProgress()
    blocks = len(network.blocks)
    changes = changes_measured(blocks, supernet.bits, len(supernet.branches)) if changes is None else changes
    judged, labels, groups = dataset.judged_images()
    labels = labels.cpu()
    identity = f"{supernet.identity}/{dataset.name}/{len(labels)}/{rule}/{calibrated}/{changes}"
    job = _Measurement(
        network, network.heads_at, supernet.bits, changes, labels, rule, calibrated, progress, checkpoint, identity
    )
    job.resume()
    counts = [sum(1 for _ in paths_of_length(length + 1, supernet.bits, changes)) for length in range(blocks)]
    progress.phase("measuring", sum(counts[location] for location, _ in network.heads_at))
    images = calibration_images(dataset, supernet.settings.calibration_images, supernet.seed)
    job.walk((), network.start(images), network.start(dataset.normalise(judged)))
    return _tables(job, supernet, dataset.name, len(np.unique(groups.cpu())), notes)


def _tables(job: _Measurement, supernet: Supernet, dataset: str, originals: int, notes: str) -> AccuracyTables:
    """Rows in order of location, then path, then branch."""
    blocks = len(job.network.blocks)
    branch_index = {CLASSIFIER: -1, **{name: i for i, name in enumerate(supernet.branches)}}
    keys = sorted(job.rows, key=lambda key: (key[0][0], key[1], branch_index[key[0][1]]))
    return AccuracyTables(
        backbone=supernet.network.backbone,
        branches=supernet.branches,
        bits=supernet.bits,
        dataset=dataset,
        confidence_rule=job.rule,
        row_location=np.array([head[0] for head, _ in keys], np.int16),
        row_branch=np.array([branch_index[head[1]] for head, _ in keys], np.int16),
        row_bits=np.array([[*path, *(0,) * (blocks - len(path))] for _, path in keys], np.uint8),
        confidence=np.stack([job.rows[key][0] for key in keys]),
        correct=np.stack([job.rows[key][1] for key in keys]),
        temperatures=np.array([job.rows[key][2] for key in keys], np.float32),
        notes=notes,
        independent_samples=originals,
    )
