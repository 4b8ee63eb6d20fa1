"""gather(run): all that the report of one run shows, from its folder; what is missing is said, never invented."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eenn_rl.architecture import Architecture
from eenn_rl.broken import nothing_found
from eenn_rl.cost import CostReport, Span
from eenn_rl.errors import EennError, InputFileError
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.images import ImageRecord
from eenn_rl.levels import LEVEL_EDGES
from eenn_rl.logged_run import Baselines, logged_baselines
from eenn_rl.npz import read_arrays
from eenn_rl.objective import Objective
from eenn_rl.paths import bare
from eenn_rl.problem import data_form
from eenn_rl.report.logged import Logged, read_logged
from eenn_rl.results import Results, Verified
from eenn_rl.run_folder import log_of
from eenn_rl.serialization import to_json
from eenn_rl.space import LOCATION
from eenn_rl.stored_run import StoredRun, open_run_or_log
from eenn_rl.tables import MAX_BYTES
from eenn_rl.workload import Workload, workload_of

if TYPE_CHECKING:
    from eenn_rl.trajectory import RunMeta

EXAMPLES = 8
"""Inputs shown of those that leave at each exit."""


@dataclass(frozen=True, eq=False)
class Example:
    """One test image, uint8 [C, H, W], its label, and what the exit where it left said; confidence is a lower bound."""

    pixels: npt.NDArray[np.uint8]
    label: int
    right: bool
    confidence: float


@dataclass(frozen=True, eq=False)
class Card:
    """One verified architecture, what the installed backend says of it, and test inputs by the exit where they leave.

    `timelines` holds for each exit that of the network cut off there. `why_no_cost` and `why_no_examples` say what is
    missing, empty where nothing is.
    """

    verified: Verified
    architecture: Architecture
    cost: CostReport | None
    timelines: tuple[tuple[Span, ...], ...]
    examples: tuple[tuple[Example, ...], ...]
    why_no_cost: str
    why_no_examples: str


@dataclass(frozen=True, eq=False)
class RunReport:
    """One run. `floor` is the accuracy that the search had to keep on validation; None where its log does not tell.

    `alone` says what a log alone lacks where it has no results; empty for a run folder. `branches` are those that the
    logged genomes count by: the space's, which need not be all that the tables have.
    """

    path: Path
    log: Path
    alone: str
    config: dict[str, Any]
    phase: str
    logged: Logged
    accelerator: AcceleratorSpec
    backbone: dict[str, Any]
    baselines: Baselines
    objective: Objective
    floor: float | None
    seeds: dict[str, int]
    versions: dict[str, str]
    backend: dict[str, str]
    branches: tuple[str, ...]
    tables: dict[str, Any]
    fingerprint: str
    results: Results | None
    cards: tuple[Card, ...]
    images: ImageRecord | None = None

    @property
    def reference(self) -> str:
        """What every network is measured against, in words."""
        return f"static {self.baselines.static.bits}-bit network"

    @property
    def nothing_found(self) -> str:
        """What to say where the search is done and found no feasible network with early exits; empty elsewhere."""
        cloud = self.logged.cloud
        early = (cloud.genomes[:, :, LOCATION] >= 0).sum(1) > 1
        if self.phase not in ("verify", "finished") or (cloud.feasible & early).any():
            return ""
        return nothing_found(self.logged.broken, len(cloud))


def gather(path: Path) -> RunReport:
    """Everything about the run in `path`, which may still be searching; refused while it has no log."""
    from eenn_rl.trajectory import open_log

    run = open_run_or_log(path)
    with open_log(log_of(path)) as log:
        logged, meta, baselines = read_logged(log), log.meta, logged_baselines(log)
    return RunReport(
        path=path,
        log=run.log,
        alone=run.alone,
        config=to_json(bare(run.config)),
        phase=run.phase,
        logged=logged,
        accelerator=run.accelerator,
        backbone=meta.backbone,
        baselines=baselines,
        objective=run.config.objective,
        floor=_floor(run.config.objective, meta, baselines),
        seeds=dict(meta.seeds),
        versions=dict(meta.versions),
        backend=dict(meta.backend),
        branches=tuple(map(str, meta.space["branches"])),
        tables=dict(meta.tables_info),
        fingerprint=meta.fingerprint,
        results=run.results,
        cards=_cards(run),
        images=run.images,
    )


def _floor(objective: Objective, meta: "RunMeta", baselines: Baselines) -> float | None:
    samples = meta.tables_info.get("independent_samples") or (
        meta.tables["confidence"].shape[1] if "confidence" in meta.tables else 0
    )
    return objective.accuracy_floor(baselines.static.accuracy, int(samples)) if samples else None


def _cards(run: StoredRun) -> tuple[Card, ...]:
    if run.results is None:
        return ()
    images, why = _test_images(run)
    return tuple(_card(run, verified, images, why) for verified in run.results.verified)


def _card(run: StoredRun, verified: Verified, images: Any, why_no_images: str) -> Card:
    architecture = run.architecture(verified)
    cost, timelines, why_no_cost = _cost(run, architecture)
    examples: tuple[tuple[Example, ...], ...] = ()
    if not why_no_images:
        try:
            examples = _examples(run, verified, *images)
        except (EennError, ValueError, IndexError) as error:
            why_no_images = f"the measured outcomes of this network are not there ({error})"
    return Card(verified, architecture, cost, timelines, examples, why_no_cost, why_no_images)


def _cost(run: StoredRun, architecture: Architecture) -> tuple[CostReport | None, tuple[tuple[Span, ...], ...], str]:
    """The report of the whole network, and the timelines of those cut off at each exit.

    What leaving at an exit costs is in the whole network's report alone: weights that stay and stages that start
    before a branch has answered make the one cut off cheaper.
    """
    from eenn_rl.guard import evaluate_safely

    try:
        backend = run.backend(architecture)
        stages = workload_of(architecture).stages
        reports = [evaluate_safely(backend, Workload(stages[: k + 1])) for k in range(len(stages))]
    except EennError as error:
        return None, (), str(error)
    return reports[-1], tuple(_in_time(report.timeline) for report in reports), ""


def _in_time(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Those that begin and end: nobody has checked what a backend tells beyond its costs."""
    return tuple(span for span in spans if isfinite(span.start_s) and isfinite(span.end_s))


def _test_images(run: StoredRun) -> tuple[Any, str]:
    """(images uint8 [N, C, H, W], labels [N]) of the test split, or the reason why not; nothing is downloaded."""
    name, root = run.config.dataset, run.config.data_root
    missing = f"the images of {Path(name).name} are not on this machine"
    try:
        from eenn_rl.networks.data import load_dataset

        if data_form(name) is None:
            return None, missing
        dataset = load_dataset(name, Path(root) if root else None, download=False)
    except InputFileError:
        return None, missing
    except (EennError, ImportError) as error:
        return None, str(error)
    return (dataset.test_x.numpy(), dataset.test_y.numpy()), ""


def _examples(run: StoredRun, verified: Verified, images: Any, labels: Any) -> tuple[tuple[Example, ...], ...]:
    """Of the test images that leave at each exit some, evenly spread over their confidence, the surest first."""
    path, names = run.weights(verified).with_suffix(".npz"), ("test_levels", "test_correct")
    arrays: dict[str, Any] = read_arrays(path, names, str(path), "measured outcomes (.npz)", MAX_BYTES)
    levels, correct = (arrays[name] for name in names)
    if levels.shape != (len(verified.thresholds), len(images)):
        return ()
    sure = LEVEL_EDGES[levels]
    left = (sure >= np.array(verified.thresholds)[:, np.newaxis]).argmax(0)
    return tuple(_examples_of(k, left, sure[k], correct[k], images, labels) for k in range(len(levels)))


def _examples_of(k: int, left: Any, sure: Any, correct: Any, images: Any, labels: Any) -> tuple[Example, ...]:
    members = np.flatnonzero(left == k)
    order = members[np.argsort(-sure[members], kind="stable")]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, EXAMPLES).astype(int))] if len(order) else order
    return tuple(Example(images[i], int(labels[i]), bool(correct[i]), float(sure[i])) for i in chosen)
