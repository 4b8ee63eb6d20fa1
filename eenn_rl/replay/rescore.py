"""rescore: every distinct logged architecture under another backend, accelerator or objective, without a new search."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import InvalidValueError
from eenn_rl.evaluation import EvaluationBatch
from eenn_rl.evaluator import Evaluator
from eenn_rl.hardware import load_accelerator
from eenn_rl.places import check_file
from eenn_rl.plugins import backend_record
from eenn_rl.progress import NullProgress, Progress
from eenn_rl.replay.fault import executing
from eenn_rl.replay.problem import baselines, rebuild
from eenn_rl.serialization import to_json
from eenn_rl.trajectory import TrajectoryLog, open_log
from eenn_rl.trajectory.front import pareto_front
from eenn_rl.trajectory.rescored import write_rescored

Columns = dict[str, npt.NDArray[Any]]
COMPARED = ("energy_j", "latency_s", "elp")
COPIED = ("return", "feasible", "accuracy", *COMPARED, "elp_reduction", "exit_rates", "thresholds")
BATCH = 4096


@dataclass(frozen=True)
class RescoreResult:
    """What re-scoring found; rows are the distinct logged architectures in the order they were logged.

    `before` holds columns as logged, `after` as costed here; `legal` those that the other accelerator can run (its
    allocations exist and support the bits), the others' rows in `after` hold NaN. `out` is the new file.
    """

    out: Path
    backend: str
    accelerator: str
    episodes: npt.NDArray[np.intp]
    legal: npt.NDArray[np.bool_]
    before: Columns
    after: Columns

    @property
    def rank_correlation(self) -> dict[str, float]:
        """Spearman's rank correlation of energy, latency and ELP, before against after; NaN for fewer than two."""
        return {name: spearman(self.before[name], self.after[name]) for name in COMPARED}

    @property
    def best(self) -> tuple[int | None, int | None]:
        """Row of the best feasible architecture, before and after."""
        return _best(self.before), _best(self.after)

    @property
    def fronts(self) -> tuple[set[int], set[int]]:
        """Rows on the Pareto front of feasible architectures (accuracy, energy, latency), before and after."""
        return _front(self.before), _front(self.after)

    def lines(self) -> list[str]:
        """The result for a person."""
        count, legal = len(self.legal), int(self.legal.sum())
        lines = [f"{count:,} distinct architectures costed by {self.backend} on {self.accelerator}: {self.out}"]
        if legal < count:
            lines.append(f"{count - legal:,} of them cannot run there: an allocation is missing or lacks the bits")
        lines.append(
            "rank correlation (Spearman): " + ", ".join(f"{k} {v:.4f}" for k, v in self.rank_correlation.items())
        )
        feasible = [int(columns["feasible"].sum()) for columns in (self.before, self.after)]
        lines.append(f"feasible: {feasible[0]:,} before, {feasible[1]:,} after")
        return [*lines, *self._best_lines(), *self._front_lines()]

    def _best_lines(self) -> list[str]:
        old, new = self.best
        if new is None:
            return ["best: none is feasible here"]
        lines = [f"best: episode {self.episodes[new]}, {self._described(new)}"]
        if old is not None and old != new:
            place = int((self.after["return"][self.after["feasible"]] > self.after["return"][old]).sum()) + 1
            now = f"is number {place:,} here" if self.after["feasible"][old] else "is not feasible here"
            lines.append(f"the logged best, episode {self.episodes[old]}, {now}")
        elif old == new:
            lines.append("it was the best before, too")
        return lines

    def _described(self, row: int) -> str:
        after = self.after
        return (
            f"accuracy {100 * after['accuracy'][row]:.2f}%, {1e6 * after['energy_j'][row]:.4g} uJ, "
            f"{1e6 * after['latency_s'][row]:.4g} us, ELP {100 * after['elp_reduction'][row]:.1f}% below static"
        )

    def _front_lines(self) -> list[str]:
        old, new = self.fronts
        moved = f"{len(old & new)} stay, {len(old - new)} leave, {len(new - old)} enter"
        return [f"Pareto front: {len(old)} architectures before, {len(new)} after; {moved}"]


def rescore(
    path: str | Path,
    backend: str | None = None,
    accelerator: str | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
    objective: Mapping[str, Any] | None = None,
) -> RescoreResult:
    """Cost the distinct architectures of the log at `path` by `backend` on `accelerator` (default: the logged ones).

    `objective` are fields of `Objective` that shall be others than logged. Accuracies come from the log's own tables;
    thresholds are tuned anew, since they depend on the costs and the constraints. Writes `out` (default: beside the
    log), never an existing file. Raises `EennError` for what does not fit, is out of range or, before anything is
    costed, cannot be written.
    """
    progress = progress or NullProgress()
    path = Path(path)
    with open_log(path) as log:
        with executing(path):
            spec = load_accelerator(accelerator) if accelerator is not None else None
            evaluator = rebuild(log.meta, path, backend, spec, objective)
            backend = backend or log.meta.backend["name"]
        name = evaluator.space.accelerator.name
        aim = [evaluator.objective.minimise] if objective else []
        out = out or _beside(path, backend, name, *aim)
        _check_out(out)
        with executing(path):
            episodes, before = _distinct(log)
            legal, after = _evaluate(evaluator, before["architecture"], progress)
            result = RescoreResult(out, backend, name, episodes, legal, before, after)
            write_rescored(out, _file_columns(result), _file_meta(log, evaluator, backend))
    return result


def _beside(path: Path, *words: str) -> Path:
    """A file beside the log at `path` that is named by `words`, whatever stands in them."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", "-".join(words))
    return path.with_name(f"{path.stem}-{plain}.h5")


def _check_out(out: Path) -> None:
    """Refuse a file that exists, or cannot be written, before anything is costed for it."""
    if out.exists():
        raise InvalidValueError(f"{out}: expected no file, found one: choose another with --out")
    check_file(out, "--out")


def _distinct(log: TrajectoryLog) -> tuple[npt.NDArray[np.intp], Columns]:
    episodes = log.distinct()
    return episodes, {name: log.columns(name)[name][episodes] for name in ("architecture", *COPIED)}


def _evaluate(
    evaluator: Evaluator, genomes: npt.NDArray[np.int16], progress: Progress
) -> tuple[npt.NDArray[np.bool_], Columns]:
    """Which genomes can run, and their columns; NaN and False for the others."""
    progress.phase("re-score", len(genomes))
    legal = evaluator.space.legal(genomes)
    rows = np.flatnonzero(legal)
    after = _nothing(len(genomes), evaluator.space.max_exits)
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        batch: EvaluationBatch = evaluator.score_batch(genomes[part])
        for name in COPIED:
            after[name][part] = getattr(batch, "reward" if name == "return" else name)
        progress.advance(start + len(part))
    return legal, after


def _nothing(count: int, exits: int) -> Columns:
    shapes = {"exit_rates": (count, exits), "thresholds": (count, exits)}
    columns: Columns = {name: np.full(shapes.get(name, (count,)), np.nan) for name in COPIED}
    columns["feasible"] = np.zeros(count, np.bool_)
    return columns


def _file_columns(result: RescoreResult) -> Columns:
    before = {f"before_{name}": column for name, column in result.before.items() if name != "architecture"}
    after = {f"after_{name}": column for name, column in result.after.items()}
    own = {"episode": result.episodes.astype(np.int64), "architecture": result.before["architecture"]}
    return {**own, "legal": result.legal, **before, **after}


def _file_meta(log: TrajectoryLog, evaluator: Evaluator, backend: str) -> dict[str, Any]:
    record = backend_record(backend)
    return {
        "source": {"name": log.path.name, "meta_digest": log.attribute("meta_digest"), "episodes": len(log)},
        "accelerator": to_json(evaluator.space.accelerator),
        "backbone": log.meta.backbone,
        "space": log.meta.space,
        "objective": to_json(evaluator.objective),
        "backend": {"name": backend, "distribution": record.distribution, "version": record.version},
        "baselines": {"before": log.meta.baselines, "after": baselines(evaluator)},
    }


def spearman(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Rank correlation over the rows where both are finite, ties at their mean rank."""
    both = np.isfinite(first) & np.isfinite(second)
    left, right = _ranks(first[both]), _ranks(second[both])
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return float("nan")
    return float(np.corrcoef(left, right)[0, 1])


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: npt.NDArray[np.float64] = (ends - (counts - 1) / 2)[group]
    return means


def _best(columns: Columns) -> int | None:
    feasible = np.flatnonzero(columns["feasible"])
    return int(feasible[np.argmax(columns["return"][feasible])]) if len(feasible) else None


def _front(columns: Columns) -> set[int]:
    feasible = np.flatnonzero(columns["feasible"])
    points = np.stack([-columns["accuracy"], columns["energy_j"], columns["latency_s"]], axis=1)[feasible]
    return {int(row) for row in feasible[pareto_front(points)]}
