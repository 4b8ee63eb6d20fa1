"""The estimator against the truth: what tables of shared weights say of networks that were trained in full on CIFAR-10.

    python benchmarks/estimator_cifar10.py --data DIR [--backbone resnet8] [--tables FILE.npz]

The truth is results/trained_cifar10.json and the outputs beside it (see trained_cifar10.py): architectures drawn at
random, never chosen by the estimator. For each the estimator picks thresholds on its own tables and predicts dynamic
accuracy and exit rates. They are compared with the test images twice: with those same thresholds (`promised
thresholds`), and with thresholds that the same rule picks on the trained network's validation outputs (`tuned anew`, as
a verified network's are). No estimator can be sure of more than its images say: `own validation` compares what the
trained networks themselves do on validation, at the promised thresholds, with the test images. Training-free proxies
are ranked against the measured accuracies. Results: results/estimator_cifar10.json.
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
from trained_cifar10 import dynamic, expected_macs, load_outputs, outputs_file, tune

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.branches import CLASSIFIER
from eenn_rl.levels import threshold_of
from eenn_rl.networks.builder import path_of
from eenn_rl.networks.proxies import PROXIES, Subject
from eenn_rl.problem import shipped_tables
from eenn_rl.tables import AccuracyTables
from eenn_rl.zoo import make_backbone

POINTS = ("promised thresholds", "tuned anew")
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


def judged(tables: AccuracyTables, truth: dict[str, Any], number: int) -> dict[str, Any]:
    """Prediction beside measurement of one network, the one of that number in the outputs."""
    exits = tuple(Exit(location, branch, bits, 0, 0) for location, branch, bits in truth["exits"])
    architecture = Architecture(tables.backbone, exits)
    index, macs = rows_of(tables, architecture), expected_macs(architecture)
    levels, right = tables.confidence[index], tables.correct[index]
    file = outputs_file(tables.backbone.name)
    test = load_outputs(file, number, "test")
    promised = tune(levels, right, macs)
    accuracy, rates = dynamic(levels, right, promised)
    validation = load_outputs(file, number, "validation")
    kept, kept_rates = dynamic(*test, promised)
    anew, anew_rates = dynamic(*test, tune(*validation, macs))
    return {
        "exits": truth["exits"],
        "thresholds": threshold_of(promised).round(4).tolist(),
        "predicted_accuracy": accuracy,
        "predicted_exit_rates": rates.tolist(),
        "promised thresholds": {"accuracy": kept, "exit_rates": kept_rates.tolist()},
        "own_validation_accuracy": dynamic(*validation, promised)[0],
        "tuned anew": {"accuracy": anew, "exit_rates": anew_rates.tolist()},
        "predicted_exit_accuracies": right.mean(1).tolist(),
        "measured_exit_accuracies": test[1].mean(1).tolist(),
    }


def _flat(rows: list[dict[str, Any]], key: str) -> list[float]:
    return [float(value) for row in rows for value in row[key]]


def dynamic_findings(rows: list[dict[str, Any]], point: str) -> dict[str, Any]:
    """How well dynamic accuracy and exit rates were predicted, at one of the two choices of thresholds."""
    measured = [rate for row in rows for rate in row[point]["exit_rates"]]
    rates: npt.NDArray[np.float64] = np.abs(np.subtract(_flat(rows, "predicted_exit_rates"), measured))
    return {
        "dynamic_accuracy": compared(
            [row["predicted_accuracy"] for row in rows], [row[point]["accuracy"] for row in rows]
        ),
        "exit_rates": {"mean_absolute_error": float(rates.mean()), "worst": float(rates.max())},
    }


def findings(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How well predictions of early-exit networks rank and hit the measurements, and the gaps of the static ones."""
    static = [row for row in rows if len(row["exits"]) == 1]
    rows = [row for row in rows if len(row["exits"]) > 1]
    return {
        "architectures": len(rows),
        **{point: dynamic_findings(rows, point) for point in POINTS},
        "own validation": compared(
            [row["own_validation_accuracy"] for row in rows], [row[POINTS[0]]["accuracy"] for row in rows]
        ),
        "accuracy_of_each_exit": compared(
            _flat(rows, "predicted_exit_accuracies"), _flat(rows, "measured_exit_accuracies")
        ),
        "static_below_full_training": {
            str(row["exits"][0][2]): row["measured_exit_accuracies"][0] - row["predicted_accuracy"] for row in static
        },
    }


def proxy_findings(backbone: str, data: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rank correlation of each training-free score with the measured dynamic accuracy."""
    dataset, shapes, found = load_images(data), make_backbone(backbone), {}
    rows = [row for row in rows if len(row["exits"]) > 1]
    drawn = [Architecture(shapes, tuple(Exit(at, kind, bits, 0, 0) for at, kind, bits in row["exits"])) for row in rows]
    for name, score in PROXIES.items():
        scores = [score(Subject.of(architecture), dataset, SEED) for architecture in drawn]
        found[name] = {"spearman": float(spearmanr(scores, [row["tuned anew"]["accuracy"] for row in rows]).statistic)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 in ImageFolder layout (for the proxies)")
    parser.add_argument("--backbone", default="resnet8")
    parser.add_argument("--tables", type=Path, help="tables to judge; by default the shipped ones")
    options = parser.parse_args()
    truth = json.loads((RESULTS / "trained_cifar10.json").read_text(encoding="utf-8"))
    tables = AccuracyTables.load(options.tables) if options.tables else shipped_tables("cifar10", options.backbone)
    networks = truth["backbones"][options.backbone]["networks"]
    rows = [judged(tables, network, number) for number, network in enumerate(networks)]
    found = findings(rows)
    proxies = proxy_findings(options.backbone, options.data, rows)
    for name, values in {**found, "proxies": proxies}.items():
        print(f"{name:28}", values)
    about = {
        "data": f"CIFAR-10, JPEG q75; predicted on {tables.images:,} validation images, measured on 10,000 test images",
        "tables": {"fingerprint": tables.fingerprint, "notes": tables.notes},
        "backbone": options.backbone,
    }
    write("estimator_cifar10", {**about, **found, "proxies": proxies, "rows": rows}, [SEED], "scipy")


if __name__ == "__main__":
    main()
