"""The shared weights beside full training: the network without exits, at every bit-width, on validation and test.

    python benchmarks/shared_weights.py --data DIR --backbone resnet20 --study STUDY --full FULL [options of the study]

STUDY holds the shared weights (`cifar10_study.py tables`, with the same options); FULL is where the static networks
are, or will be, trained in full from a plain network, with `--epochs` and `--plain-share`, or (`--begin shared`) go on
from the shared weights, each at its own bit-width. The shared weights are not trained on their own for either
bit-width: batch norms and activation steps alone are fitted to it.
Results: results/shared_weights.json, by backbone.
"""

import argparse
import json
from pathlib import Path

from cifar10_study import arguments, load_images, numbers, supernet_settings, train, training_settings
from provenance import RESULTS, provenance, write

from eenn_rl.networks.inherit import inherited
from eenn_rl.networks.supernet import load_supernet
from eenn_rl.networks.verification import MeasuredNetwork, measure_network, static_architecture
from eenn_rl.zoo import make_backbone


def accuracies(network: MeasuredNetwork) -> dict[str, float]:
    """Of the last exit, on the validation images with their mirror images, and on the test images."""
    return {
        "validation": float(network.validation.correct[-1].mean()),
        "test": float(network.test.correct[-1].mean()),
    }


def main() -> None:
    parser = arguments(
        argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    )
    parser.add_argument("--backbone", default="resnet20")
    parser.add_argument("--full", type=Path, required=True, help="study of full trainings")
    parser.add_argument("--begin", default="plain", help="full training: plain or shared")
    options = parser.parse_args()
    backbone, bits = make_backbone(options.backbone), sorted(numbers(options.bits), reverse=True)
    wanted = [static_architecture(backbone, width) for width in bits]
    dataset = load_images(options.data).to(options.device)
    file = options.study / f"{options.backbone}_supernet.pt"
    supernet = load_supernet(
        file, backbone, "cifar10", supernet_settings(options), options.seed,
        branches=options.branches.split(","), bits=bits,
    )  # fmt: skip
    supernet.network.to(options.device)
    shared = [measure_network(inherited(supernet, item, dataset), dataset, file) for item in wanted]
    settings = training_settings(options)
    trained = train(
        options.data, wanted[:1], options.full, options.device, options.workers, settings, options.seed, tuple(bits),
        supernet if options.begin == "shared" else None,
    )  # fmt: skip
    rows = [
        {"bits": width, "shared": accuracies(one), "full": accuracies(other)}
        for width, one, other in zip(bits, shared, trained, strict=False)
    ]
    for row in rows:
        print(row)
    results = RESULTS / "shared_weights.json"
    known = json.loads(results.read_text(encoding="utf-8"))["runs"] if results.exists() else {}
    known[options.backbone] = {
        "command": provenance(())["command"],
        "data": "CIFAR-10, JPEG q75",
        "shared_training": vars(supernet.settings),
        "full_training": vars(settings),
        "static": rows,
    }
    write("shared_weights", {"runs": known}, [options.seed])


if __name__ == "__main__":
    main()
