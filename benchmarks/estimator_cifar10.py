"""The estimator against the truth: what tables of shared weights say of networks that were trained in full on CIFAR-10.

    python benchmarks/estimator_cifar10.py --data DIR [--backbone resnet8] [--tables FILE.npz]

The truth is results/trained_cifar10.json (see trained_cifar10.py): architectures drawn at random, never chosen by the
estimator. For each the estimator picks thresholds by the same rule, on its own tables, and predicts dynamic accuracy
and exit rates. Training-free proxies are ranked against the same measured accuracies. Results:
results/estimator_cifar10.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cifar10_study import load_images
from provenance import RESULTS, write
from scipy.stats import spearmanr
from trained_cifar10 import dynamic, expected_macs, tune

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.branches import CLASSIFIER
from eenn_rl.networks.builder import path_of
from eenn_rl.networks.proxies import PROXIES, Subject
from eenn_rl.problem import shipped_tables
from eenn_rl.tables import AccuracyTables
from eenn_rl.zoo import make_backbone

SEED = 0
"""Of the proxies' fresh weights and images."""


def rows_of(tables: AccuracyTables, architecture: Architecture) -> list[int]:
    """The row of each exit; every path of bits of a small backbone has one."""
    path, found = np.array(path_of(architecture), np.uint8), []
    for exit_ in architecture.exits:
        branch = -1 if exit_.branch == CLASSIFIER else tables.branches.index(exit_.branch)
        bits = np.where(np.arange(len(path)) <= exit_.location, path, 0)
        same = (tables.row_location == exit_.location) & (tables.row_branch == branch)
        found.append(int(np.flatnonzero(same & (tables.row_bits == bits).all(1))[0]))
    return found


def compared(predicted: list[float], measured: list[float]) -> dict[str, float]:
    """Rank correlation, and absolute error once one fitted offset is taken off."""
    gap = np.array(measured) - np.array(predicted)
    return {
        "spearman": float(spearmanr(predicted, measured).statistic),
        "offset": float(gap.mean()),
        "mean_absolute_error_after_offset": float(np.abs(gap - gap.mean()).mean()),
        "worst_after_offset": float(np.abs(gap - gap.mean()).max()),
    }


def judged(tables: AccuracyTables, truth: dict[str, Any]) -> dict[str, Any]:
    """Prediction beside measurement of one network."""
    exits = tuple(Exit(location, branch, bits, 0, 0) for location, branch, bits in truth["exits"])
    architecture = Architecture(tables.backbone, exits)
    index = rows_of(tables, architecture)
    levels, right = tables.confidence[index], tables.correct[index]
    accuracy, rates = dynamic(levels, right, tune(levels, right, expected_macs(architecture)))
    return {
        "exits": truth["exits"],
        "predicted_accuracy": accuracy,
        "measured_accuracy": truth["dynamic_test_accuracy"],
        "predicted_exit_rates": rates.tolist(),
        "measured_exit_rates": truth["exit_rates"],
        "predicted_exit_accuracies": right.mean(1).tolist(),
        "measured_exit_accuracies": truth["test_accuracies"],
    }


def _flat(rows: list[dict[str, Any]], key: str) -> list[float]:
    return [float(value) for row in rows for value in row[key]]


def findings(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How well predictions of early-exit networks rank and hit the measurements, and the gaps of the static ones."""
    static = [row for row in rows if len(row["exits"]) == 1]
    rows = [row for row in rows if len(row["exits"]) > 1]
    rates: npt.NDArray[np.float64] = np.abs(
        np.subtract(_flat(rows, "predicted_exit_rates"), _flat(rows, "measured_exit_rates"))
    )
    return {
        "architectures": len(rows),
        "dynamic_accuracy": compared(
            [row["predicted_accuracy"] for row in rows], [row["measured_accuracy"] for row in rows]
        ),
        "exit_rates": {"mean_absolute_error": float(rates.mean()), "worst": float(rates.max())},
        "accuracy_of_each_exit": compared(
            _flat(rows, "predicted_exit_accuracies"), _flat(rows, "measured_exit_accuracies")
        ),
        "static_below_full_training": {
            str(row["exits"][0][2]): row["measured_accuracy"] - row["predicted_accuracy"] for row in static
        },
    }


def proxy_findings(backbone: str, data: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rank correlation of each training-free score with the measured dynamic accuracy."""
    dataset, shapes, found = load_images(data), make_backbone(backbone), {}
    rows = [row for row in rows if len(row["exits"]) > 1]
    drawn = [Architecture(shapes, tuple(Exit(at, kind, bits, 0, 0) for at, kind, bits in row["exits"])) for row in rows]
    for name, score in PROXIES.items():
        scores = [score(Subject.of(architecture), dataset, SEED) for architecture in drawn]
        found[name] = {"spearman": float(spearmanr(scores, [row["measured_accuracy"] for row in rows]).statistic)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 in ImageFolder layout (for the proxies)")
    parser.add_argument("--backbone", default="resnet8")
    parser.add_argument("--tables", type=Path, help="tables to judge; by default the shipped ones")
    options = parser.parse_args()
    truth = json.loads((RESULTS / "trained_cifar10.json").read_text(encoding="utf-8"))
    tables = AccuracyTables.load(options.tables) if options.tables else shipped_tables("cifar10", options.backbone)
    rows = [judged(tables, network) for network in truth["backbones"][options.backbone]["networks"]]
    found = findings(rows)
    proxies = proxy_findings(options.backbone, options.data, rows)
    for name, values in {**found, "proxies": proxies}.items():
        print(f"{name:28}", values)
    about = {
        "data": "CIFAR-10, JPEG q75; predicted on 5,000 validation images, measured on 10,000 test images",
        "tables": {"fingerprint": tables.fingerprint, "notes": tables.notes},
        "backbone": options.backbone,
    }
    write("estimator_cifar10", {**about, **found, "proxies": proxies, "rows": rows}, [SEED], "scipy")


if __name__ == "__main__":
    main()
