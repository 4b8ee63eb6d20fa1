"""Time of a training step on a processor, and what keeping freed memory and the depthwise kernels do for it.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/training_speed.py [--backbones resnet8,mobilenetv2] [--rounds 3]

Random images of CIFAR-10's form, batches of 128; the plain network's steps, as they are, with freed memory handed back
to the system (what the C library does by itself), and, in bfloat16, with depthwise convolutions in float32 as well.
Each row is measured in a process of its own; rounds of all rows follow each other, and medians are given, so that
a busy moment of the machine falls on all alike. Results: results/training_speed.json.
"""

import argparse
import ctypes
import multiprocessing
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import torch
from provenance import write
from torch.nn import functional

from eenn_rl.networks import layers, loop
from eenn_rl.networks.data import Dataset, crop_and_flip
from eenn_rl.networks.settings import PRECISIONS, SupernetSettings
from eenn_rl.networks.supernet import train_supernet
from eenn_rl.progress import NullProgress
from eenn_rl.zoo import make_backbone

BATCH, WARM_UP, STEPS = 128, 4, 6
AS_IS, HANDED_BACK, BOTH_OLD = "as it is", "memory handed back", "memory handed back, depthwise in float32"


@dataclass(frozen=True)
class Row:
    """What is measured; seconds and bytes are those of one step."""

    backbone: str
    precision: str
    variant: str
    threads: int
    step_s: float = 0.0
    fresh_bytes: float = 0.0
    most_bytes: int = 0
    """The most memory that its process held."""


def images() -> Dataset:
    """Random ones, of CIFAR-10's form."""
    random = torch.Generator().manual_seed(0)
    count = BATCH * (WARM_UP + STEPS)
    x = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=random)
    y = torch.randint(10, (count,), generator=random)
    few, groups = slice(0, 8), torch.arange(8)
    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.25)
    return Dataset("random", x, y, x[few], y[few], x[few], y[few], 10, groups, groups, crop_and_flip, mean, std)


@contextmanager
def handed_back() -> Iterator[None]:
    """In place of `kept_memory`."""
    yield


def float32_depthwise(values: Any, weight: Any, stride: Any, padding: Any) -> Any:
    """In place of `mixed_depthwise`: as it was before."""
    with torch.autocast("cpu", enabled=False):
        return functional.conv2d(values.float(), weight, None, stride, padding, groups=len(weight))


class _Enough(Exception):  # noqa: N818 - no error
    """All steps that were wanted are done."""


class Watch(NullProgress):
    """Takes the time, and the fresh pages, of each step, and ends the training after the last one wanted."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []
        self.last = self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt * resource.getpagesize()

    def advance(self, done: float, **_: float | str) -> None:
        """One step is done."""
        now = self._now()
        self.steps.append((now[0] - self.last[0], now[1] - self.last[1]))
        self.last = now
        if done >= WARM_UP + STEPS:
            raise _Enough


def measure(row: Row) -> Row:
    """`row` with its figures: medians over the steps after the first few."""
    torch.set_num_threads(row.threads)
    ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: a huge page is one fault, like a small one
    if row.variant != AS_IS:
        loop.kept_memory = handed_back  # type: ignore[assignment]
    if row.variant == BOTH_OLD:
        layers.mixed_depthwise = float32_depthwise
    watch = Watch()
    settings = SupernetSettings(static_epochs=1, epochs=1, batch_size=BATCH, precision=row.precision)
    with suppress(_Enough):
        train_supernet(make_backbone(row.backbone), images(), settings, 0, watch, bits=(8,))
    seconds, fresh = zip(*watch.steps[WARM_UP:], strict=True)
    most_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return replace(row, step_s=median(seconds), fresh_bytes=median(fresh), most_bytes=most_bytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", default="resnet8,mobilenetv2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    wanted = [
        Row(backbone, precision, variant, options.threads)
        for backbone in options.backbones.split(",")
        for precision in PRECISIONS
        for variant in (AS_IS, HANDED_BACK, *([BOTH_OLD] if precision == "bfloat16" else []))
    ]
    found: list[list[Row]] = []
    for _ in range(options.rounds):
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            found.append(pool.map(measure, wanted, chunksize=1))
    rows = [
        replace(
            row,
            step_s=median(r[i].step_s for r in found),
            fresh_bytes=median(r[i].fresh_bytes for r in found),
            most_bytes=max(r[i].most_bytes for r in found),
        )
        for i, row in enumerate(wanted)
    ]
    for row in rows:
        own = next(r for r in rows if (r.backbone, r.precision, r.variant) == (row.backbone, row.precision, AS_IS))
        print(
            f"{row.backbone}, {row.precision}, {row.variant}: {1000 * row.step_s:.0f} ms a step "
            f"({row.step_s / own.step_s:.2f} times), {row.fresh_bytes / 2**20:.0f} MiB of fresh pages, "
            f"{row.most_bytes / 2**30:.2f} GiB at most"
        )
    write("training_speed", {"rows": [asdict(row) for row in rows], "batch": BATCH}, [0])


if __name__ == "__main__":
    main()
