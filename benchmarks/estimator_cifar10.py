"""The estimator against the truth: architectures drawn at random, each trained in full, on CIFAR-10.

    python benchmarks/estimator_cifar10.py --data DIR --study STUDY [--tables FILE.npz] [--device cuda]

For each architecture the estimator picks thresholds that cost least (in expected multiply-accumulates) and keep the
dynamic accuracy within a point of the architecture's own last exit, and predicts accuracy and exit rates. The same
thresholds then go to the network trained in full; and, as a user would, thresholds are tuned anew on its validation
outputs by the same rule. Training-free proxies are ranked against the same measured accuracies.
"""

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cifar10_study import arguments, load_images, make_tables, supernet_settings, train, training_settings
from random_architectures import draw_many
from scipy.stats import spearmanr

from eenn_rl.architecture import Architecture
from eenn_rl.branches import CLASSIFIER
from eenn_rl.networks.builder import path_of
from eenn_rl.networks.proxies import PROXIES
from eenn_rl.objective import least_count
from eenn_rl.tables import AccuracyTables
from eenn_rl.tuning import Demands, frontier, leave_at
from eenn_rl.workload import workload_of
from eenn_rl.zoo import make_backbone

TOLERANCE = 0.01

Levels = npt.NDArray[np.uint8]
Rights = npt.NDArray[np.bool_]


def expected_macs(architecture: Architecture) -> npt.NDArray[np.float64]:
    """Multiply-accumulates of an input that leaves at each exit."""
    stages = workload_of(architecture).stages
    return np.cumsum([sum(layer.macs for layer in (*s.layers, *s.branch_layers)) for s in stages]).astype(np.float64)


def rows_of(tables: AccuracyTables, architecture: Architecture) -> list[int]:
    """The row of each exit; every path of bits of a small backbone has one."""
    path, found = np.array(path_of(architecture), np.uint8), []
    for exit_ in architecture.exits:
        branch = -1 if exit_.branch == CLASSIFIER else tables.branches.index(exit_.branch)
        bits = np.where(np.arange(len(path)) <= exit_.location, path, 0)
        same = (tables.row_location == exit_.location) & (tables.row_branch == branch)
        found.append(int(np.flatnonzero(same & (tables.row_bits == bits).all(1))[0]))
    return found


def tune(levels: Levels, right: Rights, macs: npt.NDArray[np.float64]) -> Levels:
    """The cheapest thresholds within `TOLERANCE` of the last exit."""
    samples = right.shape[1]
    demands = Demands(least_count(max(0.0, float(right[-1].mean()) - TOLERANCE), samples), 0)
    found = frontier(levels, right, demands)
    return found.thresholds[found.cheapest(macs)]


def dynamic(levels: Levels, right: Rights, thresholds: Levels) -> tuple[float, npt.NDArray[np.float64]]:
    """Accuracy and exit rates."""
    left = leave_at(levels, thresholds)
    accuracy = float(np.take_along_axis(right, left[np.newaxis], 0).mean())
    return accuracy, np.bincount(left, minlength=len(levels)) / len(left)


def compare(predicted: list[float], measured: list[float]) -> dict[str, float]:
    """Rank correlation, and mean absolute error once one fitted offset is taken off."""
    gap = np.array(measured) - np.array(predicted)
    return {
        "spearman": float(spearmanr(predicted, measured).statistic),
        "offset": float(gap.mean()),
        "mean_absolute_error": float(np.abs(gap - gap.mean()).mean()),
    }


def rate_error(one: list[npt.NDArray[np.float64]], other: list[npt.NDArray[np.float64]]) -> float:
    """Mean absolute difference of exit rates over all exits of all architectures."""
    return float(np.mean(np.abs(np.concatenate(one) - np.concatenate(other))))


def run(options: argparse.Namespace) -> dict[str, Any]:
    backbone = make_backbone(options.backbone)
    drawn = draw_many(backbone, options.count, options.draw_seed)[: options.keep or None]
    file = options.tables or make_tables(
        options.data, options.backbone, options.study, options.device, supernet_settings(options), options.seed
    )
    tables = AccuracyTables.load(file)
    settings = training_settings(options)
    networks = train(options.data, drawn, options.study, options.device, options.workers, settings, options.seed)[3:]
    rows, predicted, transplanted, tuned, last = [], [], [], [], []
    for architecture, network in zip(drawn, networks, strict=True):
        macs, index = expected_macs(architecture), rows_of(tables, architecture)
        levels, right = tables.confidence[index], tables.correct[index]
        thresholds = tune(levels, right, macs)
        predicted.append(dynamic(levels, right, thresholds))
        transplanted.append(dynamic(network.test.levels, network.test.correct, thresholds))
        own = tune(network.validation.levels, network.validation.correct, macs)
        tuned.append(dynamic(network.test.levels, network.test.correct, own))
        last.append((float(right[-1].mean()), float(network.test.correct[-1].mean())))
        rows.append(
            {
                "exits": [(e.location, e.branch, e.bits) for e in architecture.exits],
                "predicted": [predicted[-1][0], predicted[-1][1].tolist()],
                "same_thresholds": [transplanted[-1][0], transplanted[-1][1].tolist()],
                "thresholds_tuned_anew": [tuned[-1][0], tuned[-1][1].tolist()],
                "exit_accuracies_predicted": right.mean(1).tolist(),
                "exit_accuracies_measured": network.test.correct.mean(1).tolist(),
            }
        )
    dataset = load_images(options.data)
    truth = [accuracy for accuracy, _ in tuned]
    exits_predicted = [accuracy for row in rows for accuracy in row["exit_accuracies_predicted"]]
    exits_measured = [accuracy for row in rows for accuracy in row["exit_accuracies_measured"]]
    proxies = {}
    for name, score in PROXIES.items():
        scores = [score(architecture, dataset, options.seed) for architecture in drawn]
        proxies[name] = {"spearman": float(spearmanr(scores, truth).statistic)}
    return {
        "backbone": options.backbone,
        "architectures": len(drawn),
        "same_thresholds": {
            **compare([a for a, _ in predicted], [a for a, _ in transplanted]),
            "exit_rate_error": rate_error([r for _, r in predicted], [r for _, r in transplanted]),
        },
        "thresholds_tuned_anew": {
            **compare([a for a, _ in predicted], truth),
            "exit_rate_error": rate_error([r for _, r in predicted], [r for _, r in tuned]),
        },
        "single_exits": compare(exits_predicted, exits_measured),
        "last_exit": compare([a for a, _ in last], [b for _, b in last]),
        "proxies": proxies,
        "tables": {"fingerprint": tables.fingerprint, "notes": tables.notes},
        "training": vars(settings),
        "rows": rows,
    }


def show(found: dict[str, Any]) -> None:
    """A few lines."""
    for name in ("same_thresholds", "thresholds_tuned_anew", "single_exits", "last_exit"):
        print(f"{name:22}", {key: round(value, 4) for key, value in found[name].items()})
    print({name: round(value["spearman"], 3) for name, value in found["proxies"].items()})


def main() -> None:
    parser = arguments(
        argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    )
    parser.add_argument("--backbone", default="resnet8")
    parser.add_argument("--tables", type=Path, help="tables to judge; by default the study's own")
    parser.add_argument("--count", type=int, default=22, help="architectures drawn")
    parser.add_argument("--keep", type=int, default=16, help="how many of those, in order, are trained; 0: all")
    parser.add_argument("--draw-seed", type=int, default=0)
    parser.add_argument("--machine", help="what the trainings ran on, where they were done elsewhere")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "estimator_cifar10.json")
    options = parser.parse_args()
    found = run(options)
    show(found)
    about = {
        "data": "CIFAR-10, JPEG q75; predicted on 5,000 validation images, measured on 10,000 test images",
        "seeds": {"draw": options.draw_seed, "training": options.seed},
        "python": platform.python_version(),
        "torch": torch.__version__.partition("+")[0],
        "trainings": options.machine or platform.machine(),
    }
    options.results.write_text(json.dumps({**about, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
