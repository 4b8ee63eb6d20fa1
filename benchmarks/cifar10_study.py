"""The long trainings behind the CIFAR-10 results, resumable, on CPU or GPU.

    python benchmarks/cifar10_study.py tables --data DIR --backbone resnet8 --study STUDY [--device cuda]
    python benchmarks/cifar10_study.py train --data DIR --architectures FILE.json --study STUDY [--device cuda]

DIR is CIFAR-10 in ImageFolder layout. `tables` trains the shared weights and writes STUDY/<backbone>.npz; `train`
trains every architecture of FILE.json, and the static baselines, in full and leaves its outputs in STUDY/<backbone>/.
Both are continued when started again. FILE.json lists {"backbone": name, "exits": [{"location": ...}]}.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.branches import BRANCHES
from eenn_rl.networks.data import Dataset, crop_and_flip, load_dataset
from eenn_rl.networks.loop import load_state, save_state
from eenn_rl.networks.measure import measure_tables
from eenn_rl.networks.settings import SupernetSettings, TrainingSettings
from eenn_rl.networks.supernet import Supernet, train_supernet
from eenn_rl.networks.verification import MeasuredNetwork, train_and_measure
from eenn_rl.zoo import make_backbone


class PrintProgress:
    """A line now and then."""

    def __init__(self) -> None:
        self.name, self.total, self.told, self.began = "", 0.0, 0.0, time.monotonic()

    def phase(self, name: str, total: float | None = None) -> None:
        """Begin."""
        self.name, self.total, self.began = name, total or 0.0, time.monotonic()

    def advance(self, done: float, **facts: float | str) -> None:
        """Print, at most every 20 seconds."""
        now = time.monotonic()
        if now - self.told > 20:
            self.told = now
            print(
                f"{self.name}: {done:.1f} of {self.total:.0f} after {now - self.began:.0f} s {facts or ''}", flush=True
            )

    def note(self, text: str) -> None:
        """Print."""
        print(text, flush=True)


def load_images(data: Path) -> Dataset:
    """The data set in `data`, decoded once: its tensors are kept beside the folder."""
    cache = data.with_name(data.name + ".tensors.pt")
    if not cache.exists():
        dataset = load_dataset(str(data))
        save_state(cache, {key: value for key, value in vars(dataset).items() if isinstance(value, torch.Tensor)})
        return named(dataset)

    return Dataset(name="cifar10", num_classes=10, view=crop_and_flip, **load_state(cache))


def named(dataset: Dataset) -> Dataset:
    """Called by its name, not its folder's."""
    return Dataset(**{**vars(dataset), "name": "cifar10"})


def read_architectures(file: Path) -> list[Architecture]:
    """The architectures in `file`."""
    found = []
    for item in json.loads(file.read_text(encoding="utf-8")):
        backbone = make_backbone(item["backbone"])
        found.append(Architecture(backbone, tuple(Exit(**exit_) for exit_ in item["exits"])))
    return found


def write_architectures(file: Path, architectures: list[Architecture]) -> None:
    """The reverse of `read_architectures`."""
    data = [{"backbone": a.backbone.name, "exits": [vars(exit_) for exit_ in a.exits]} for a in architectures]
    file.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def make_tables(
    data: Path, backbone: str, study: Path, device: str, settings: SupernetSettings, seed: int,
    branches: Sequence[str] = BRANCHES, bits: Sequence[int] = (2, 4, 8), changes: int | None = None,
) -> Path:  # fmt: skip
    """Shared weights of `backbone` and their tables in ``study/<backbone>.npz``; done once.

    `changes` bounds how often bits change along a path, as in `measure_tables`.
    """
    target = study / f"{backbone}.npz"
    if target.exists():
        return target
    study.mkdir(parents=True, exist_ok=True)
    dataset, progress = load_images(data).to(device), PrintProgress()
    supernet = train_supernet(
        make_backbone(backbone), dataset, settings, seed, progress, study / f"{backbone}_supernet",
        branches=branches, bits=bits,
    )  # fmt: skip
    supernet.save(study / f"{backbone}_supernet.pt")
    notes = f"CIFAR-10, JPEG q75; validation: 5,000 training images held out, mirrored too; {settings}; seed {seed}"
    begun = study / f"{backbone}_tables.pt"
    measure_tables(
        supernet, dataset, changes=changes, progress=progress, checkpoint=begun, notes=notes
    ).save(target)  # fmt: skip
    return target


def train(
    data: Path, architectures: list[Architecture], study: Path, device: str, workers: int, settings: TrainingSettings,
    seed: int, static_bits: tuple[int, ...] = (8, 4, 2), shared: Supernet | None = None,
) -> list[MeasuredNetwork]:  # fmt: skip
    """Static baselines, then `architectures` (all of one backbone), measured; done once.

    All begin with the weights of `shared`, or else with a plain network.
    """
    folder = study / architectures[0].backbone.name
    return train_and_measure(
        architectures, load_images(data), settings, seed, PrintProgress(), checkpoint_dir=folder,
        static_bits=static_bits, workers=workers, device=device, shared=shared,
    )  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Options that every CIFAR-10 script shares."""
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 in ImageFolder layout")
    parser.add_argument("--study", type=Path, default=Path("runs/cifar10"), help="where unfinished work is kept")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, default=2, help="trainings at a time")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=0.2)
    parser.add_argument("--full-learning-rate", type=float, help="of full training (default: --learning-rate)")
    parser.add_argument("--fine-batch-size", type=int, default=0, help="of the shared weights' second phase")
    parser.add_argument("--fine-learning-rate", type=float, default=0.1, help="of the shared weights' second phase")
    parser.add_argument("--static-epochs", type=int, default=40)
    parser.add_argument("--joint-epochs", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=40, help="epochs of each full training")
    parser.add_argument("--branches", default=",".join(BRANCHES), help="those that the shared weights have")
    parser.add_argument("--bits", default="2,4,8", help="those that the shared weights have")
    parser.add_argument("--changes", type=int, help="most changes of bits along a path that tables hold")
    parser.add_argument("--branches-per-step", type=int, default=3)
    parser.add_argument("--early-exits-weight", type=float, default=SupernetSettings().early_exits_weight)
    parser.add_argument("--calibration-images", type=int, default=2048)
    parser.add_argument("--distinct-draws", type=int, default=0, help="see SupernetSettings; 32 for a GPU")
    parser.add_argument("--plain-share", type=float, default=TrainingSettings().plain_share)
    parser.add_argument("--exit-weight", type=float, default=TrainingSettings().exit_weight)
    parser.add_argument("--distillation", type=float, default=TrainingSettings().distillation)
    parser.add_argument("--precision", default="float32", help="float32 or bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def numbers(text: str) -> tuple[int, ...]:
    """Those in `text`, between commas."""
    return tuple(int(number) for number in text.split(",") if number)


def supernet_settings(options: argparse.Namespace) -> SupernetSettings:
    """Of the shared weights."""
    return SupernetSettings(
        static_epochs=options.static_epochs, epochs=options.joint_epochs, batch_size=options.batch_size,
        learning_rate=options.learning_rate, fine_batch_size=options.fine_batch_size,
        fine_learning_rate=options.fine_learning_rate,
        branches_per_step=options.branches_per_step, distinct_draws=options.distinct_draws,
        early_exits_weight=options.early_exits_weight, calibration_images=options.calibration_images,
        precision=options.precision,
    )  # fmt: skip


def training_settings(options: argparse.Namespace) -> TrainingSettings:
    """Of full trainings."""
    return TrainingSettings(
        epochs=options.epochs, batch_size=options.batch_size,
        learning_rate=options.full_learning_rate or options.learning_rate,
        begin=getattr(options, "begin", "plain"), plain_share=options.plain_share, exit_weight=options.exit_weight,
        distillation=options.distillation, precision=options.precision,
    )  # fmt: skip


def main(arguments_given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    tables = arguments(verbs.add_parser("tables"))
    tables.add_argument("--backbone", default="resnet8")
    training = arguments(verbs.add_parser("train"))
    training.add_argument("--architectures", type=Path, required=True)
    training.add_argument("--static-bits", default="8,4,2")
    options = parser.parse_args(arguments_given)
    if options.verb == "tables":
        settings: Any = supernet_settings(options)
        given = (options.data, options.backbone, options.study, options.device, settings, options.seed)
        print(make_tables(*given, options.branches.split(","), numbers(options.bits), options.changes))
        return
    bits = numbers(options.static_bits)
    measured = train(
        options.data, read_architectures(options.architectures), options.study, options.device, options.workers,
        training_settings(options), options.seed, bits,
    )  # fmt: skip
    for network in measured:
        exits = [(e.location, e.branch, e.bits) for e in network.architecture.exits]
        print(exits, "test accuracy of each exit", network.test.correct.mean(1).round(4).tolist(), flush=True)


if __name__ == "__main__":
    main()
