"""Whether what a run is verified on is still what it was searched on: its problem, and the images of its folder."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING

from eenn_rl.errors import InvalidValueError
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.images import read_images
from eenn_rl.objective import Objective
from eenn_rl.run_folder import RunFolder, write_json
from eenn_rl.serialization import from_json, to_json

if TYPE_CHECKING:
    from eenn_rl.evaluation import Evaluation
    from eenn_rl.evaluator import Evaluator
    from eenn_rl.results import Candidate
    from eenn_rl.trajectory import TrajectoryLog

SAME = 1e-9
"""Costs that differ by less, as a share, are those of another processor's arithmetic, not of another cost model."""


def check_problem(
    folder: RunFolder,
    evaluator: "Evaluator",
    candidates: "Sequence[Candidate]" = (),
    evaluations: "Sequence[Evaluation]" = (),
) -> None:
    """Refuse an `evaluator` of another problem than the run's log tells, before any network is trained.

    `evaluations` are what it says of `candidates` now.
    """
    from eenn_rl.trajectory import open_log
    from eenn_rl.trajectory.checks import reading

    with open_log(folder.trajectories) as log, reading(log.path):
        numbers = chain(_changed_baselines(log, evaluator), _changed_costs(candidates, evaluations))
        found = list(_changed_parts(log, evaluator)) or list(islice(numbers, 1))
    if found:
        option = "--accelerator FILE" if "accelerator" in found else f"--backend {log.meta.backend.get('name')}"
        raise InvalidValueError(
            f"{folder.path}: expected the problem that it was searched on, found another: {', '.join(found)}: put back "
            f"what was changed, begin a new run, or cost what it logged anew with eenn-rl replay "
            f"{folder.trajectories} {option} --out NEW.h5"
        )


def _changed_parts(log: "TrajectoryLog", evaluator: "Evaluator") -> Iterator[str]:
    """What of the problem's description is another."""
    from eenn_rl.replay.problem import read_tables, rebuild_space

    logged, here = rebuild_space(log.meta, log.path), evaluator.space
    objective = from_json(Objective, log.meta.objective, f"{log.path}: meta/objective")
    yield from (
        what
        for what, before, now in (
            ("accelerator", costed(logged.accelerator), costed(here.accelerator)),
            ("backbone", logged.backbone, here.backbone),
            ("branches", logged.branches, here.branches),
            ("bits", logged.bits, here.bits),
            ("max_exits", logged.max_exits, here.max_exits),
            ("objective", objective, evaluator.objective),
            ("tables", read_tables(log.meta, log.path).fingerprint, evaluator.estimator.tables.fingerprint),
        )
        if before != now
    )


def costed(accelerator: AcceleratorSpec) -> AcceleratorSpec:
    """Without what no cost depends on."""
    cores = tuple(replace(core, source="") for core in accelerator.cores)
    return replace(accelerator, cores=cores, description="", source="", notes=())


def _changed_baselines(log: "TrajectoryLog", evaluator: "Evaluator") -> Iterator[str]:
    """Costs and accuracies of the static networks that are others than logged."""
    from eenn_rl.replay.problem import baselines

    for network, here in baselines(evaluator).items():
        for name in ("energy_j", "latency_s", "accuracy"):
            yield from other_number(f"{name} of {network}", float(log.meta.baselines[network][name]), here[name])


def _changed_costs(candidates: "Sequence[Candidate]", evaluations: "Sequence[Evaluation]") -> Iterator[str]:
    """Costs of the networks to verify that are others than the search left."""
    for rank, (candidate, evaluation) in enumerate(zip(candidates, evaluations, strict=True), start=1):
        for name in ("energy_j", "latency_s"):
            yield from other_number(f"{name} of #{rank}", getattr(candidate.predicted, name), getattr(evaluation, name))


def other_number(what: str, before: float, now: float) -> Iterator[str]:
    """That `what` is another number, where it is."""
    if not isclose(before, now, rel_tol=SAME):
        yield f"{what} was {before:.6g}, is {now:.6g}"


def check_images(folder: RunFolder, dataset: str) -> None:
    """Refuse a folder of images that are not those the run began with; the first ones seen are those.

    Data sets with a name never change: torchvision compares their checksums.
    """
    from eenn_rl.networks.folder import described, fingerprint_of

    found = fingerprint_of(dataset)
    if found is None:
        return
    known = read_images(folder.images)
    if known in (None, found):  # one from before holds the fingerprint alone
        write_json(folder.images, to_json(described(found, Path(dataset))))
    elif known is not None and (known.sha256, known.files) != (found.sha256, found.files):
        raise InvalidValueError(
            f"{folder.path}: expected the images that it began with in {dataset}, found others ({known.files:,} "
            f"files then, {found.files:,} now): put them back, or begin a new run"
        )
