"""The truth that the estimator is held to: random architectures and the static networks, trained in full on CIFAR-10.

    python benchmarks/trained_cifar10.py --data DIR --study STUDY [--backbone resnet8] [--keep 16] [--device cuda]

The first `--keep` of `random_architectures.py` (seed 0), and the static backbone at 8, 4 and 2 bits. Thresholds are
those that cost least (in expected multiply-accumulates) on validation outputs and keep the dynamic accuracy within a
point of the network's own last exit; accuracy and exit rates are then measured on the test images. Continued when
started again. Results: results/trained_cifar10.json, one list of networks by backbone, and what every exit said of
every image, results/trained_cifar10_<backbone>.npz: estimators can be held to these networks without any training.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cifar10_study import arguments, train, training_settings
from provenance import RESULTS, write
from random_architectures import draw_many

from eenn_rl.architecture import Architecture
from eenn_rl.networks.verification import MeasuredNetwork
from eenn_rl.objective import least_count
from eenn_rl.tuning import Demands, frontier, leave_at
from eenn_rl.workload import workload_of
from eenn_rl.zoo import make_backbone

TOLERANCE = 0.01
SPLITS = ("validation", "test")
DRAW_SEED, DRAWN = 0, 22
"""Architectures drawn; how many are asked for changes which they are, so it is a constant."""

Levels = npt.NDArray[np.uint8]
Rights = npt.NDArray[np.bool_]


def expected_macs(architecture: Architecture) -> npt.NDArray[np.float64]:
    """Multiply-accumulates of an input that leaves at each exit."""
    stages = workload_of(architecture).stages
    return np.cumsum([sum(layer.macs for layer in (*s.layers, *s.branch_layers)) for s in stages]).astype(np.float64)


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


def measured(network: MeasuredNetwork) -> dict[str, Any]:
    """What one network does on the test images."""
    thresholds = tune(network.validation.levels, network.validation.correct, expected_macs(network.architecture))
    accuracy, rates = dynamic(network.test.levels, network.test.correct, thresholds)
    return {
        "exits": [(e.location, e.branch, e.bits) for e in network.architecture.exits],
        "validation_accuracies": network.validation.correct.mean(1).round(5).tolist(),
        "test_accuracies": network.test.correct.mean(1).round(5).tolist(),
        "dynamic_test_accuracy": round(accuracy, 5),
        "exit_rates": rates.round(5).tolist(),
    }


def outputs_file(backbone: str) -> Path:
    """Where the outputs of the trained networks lie."""
    return RESULTS / f"trained_cifar10_{backbone}.npz"


def save_outputs(file: Path, networks: Sequence[MeasuredNetwork]) -> None:
    """Confidence levels uint8 [exits, N] and correctness as bits [exits, N / 8]; of network i on split S `i_S_...`."""
    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    for number, network in enumerate(networks):
        for split in SPLITS:
            outcome = getattr(network, split)
            arrays[f"{number}_{split}_levels"] = outcome.levels
            arrays[f"{number}_{split}_correct"] = np.packbits(outcome.correct, axis=1)
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_outputs(file: Path, number: int, split: str) -> tuple[Levels, Rights]:
    """Levels uint8 [exits, N] and correctness bool [exits, N] of one network."""
    with np.load(file, allow_pickle=False) as arrays:
        levels: Levels = arrays[f"{number}_{split}_levels"]
        bits = arrays[f"{number}_{split}_correct"]
    return levels, np.unpackbits(bits, axis=1, count=levels.shape[1]).astype(np.bool_)


def main() -> None:
    parser = arguments(
        argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    )
    parser.add_argument("--backbone", default="resnet8")
    parser.add_argument(
        "--keep", type=int, default=16, help="how many of the architectures drawn, in order, are trained"
    )
    options = parser.parse_args()
    drawn = draw_many(make_backbone(options.backbone), DRAWN, DRAW_SEED)[: options.keep]
    settings = training_settings(options)
    networks = train(options.data, drawn, options.study, options.device, options.workers, settings, options.seed)
    save_outputs(outputs_file(options.backbone), networks)
    file = RESULTS / "trained_cifar10.json"
    known = json.loads(file.read_text(encoding="utf-8"))["backbones"] if file.exists() else {}
    known[options.backbone] = {
        "training": vars(settings),
        "trained_on": options.device,
        "networks": [measured(network) for network in networks],
    }
    data = "CIFAR-10, JPEG q75; thresholds from 5,000 validation images, measured on 10,000 test images"
    write("trained_cifar10", {"data": data, "backbones": known}, [options.seed])


if __name__ == "__main__":
    main()
