"""Small real parts for tests of networks: a cut of the digits, a small backbone, settings of a few steps."""

from dataclasses import replace
from functools import cache

import torch

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.backbone import Backbone, Block, Layer
from eenn_rl.networks.data import Dataset, load_dataset
from eenn_rl.networks.settings import SupernetSettings, TrainingSettings
from eenn_rl.networks.supernet import Supernet, train_supernet
from eenn_rl.progress import NullProgress

torch.set_num_threads(1)
BRANCHES = ("linear", "dsconv")
QUICK = SupernetSettings(static_epochs=1, epochs=2, batch_size=32, calibration_images=64)
FULL = TrainingSettings(epochs=4, batch_size=32)


@cache
def digits() -> Dataset:
    """96 training originals and 120 images of each other split."""
    whole = load_dataset("digits")
    cut = {
        f"{split}_{part}": getattr(whole, f"{split}_{part}")[:120]
        for split in ("validation", "test")
        for part in ("x", "y", "groups")
    }
    return replace(whole, train_x=whole.train_x[:96], train_y=whole.train_y[:96], **cut)


def small_backbone() -> Backbone:
    """Three blocks on 16x16: a strided stem, a residual block whose shortcut skips a convolution, a depthwise one."""

    def conv(name: str, into: int, out: int, size: int, reads: str, stride: int = 1, **more: object) -> Layer:
        result = (size - 1) // stride + 1
        return Layer(name, "conv", 1, into, out, (size, size), (result, result), (3, 3), (stride, stride), (1, 1),
                     (reads,) if reads else (), **{"activation": "relu", **more})  # type: ignore[arg-type]  # fmt: skip

    stem = Block("stem", (conv("stem", 1, 8, 16, "", 2),))
    body = Block(
        "body",
        (
            conv("body.conv", 8, 8, 8, "stem", activation="none"),
            Layer("body.add", "add", 1, 8, 8, (8, 8), (8, 8), reads=("body.conv", "stem"), activation="relu"),
        ),
    )
    depth = Layer("tail.depth", "depthwise", 8, 8, 8, (8, 8), (4, 4), (3, 3), (2, 2), (1, 1), ("body.add",), "relu6")
    point = Layer("tail.point", "conv", 1, 8, 16, (4, 4), (4, 4), reads=("tail.depth",), activation="none")
    return Backbone("small", (stem, body, Block("tail", (depth, point))), (1, 16, 16), 10)


def architecture(*exits: tuple[int, str, int]) -> Architecture:
    """Of the small backbone: (location, branch, bits) of each exit."""
    return Architecture(small_backbone(), tuple(Exit(at, branch, bits, 0, 0) for at, branch, bits in exits))


MIXED = ((0, "linear", 8), (1, "dsconv", 2), (2, "classifier", 4))


@cache
def supernet() -> Supernet:
    """Shared weights after a few steps."""
    return train_supernet(small_backbone(), digits(), QUICK, seed=3, branches=BRANCHES)


class StopAt(NullProgress):
    """Ctrl-C after so many steps."""

    def __init__(self, step: int) -> None:
        self.step, self.name = step, ""

    def phase(self, name: str, total: float | None = None) -> None:
        del total
        self.name = name

    def advance(self, done: float, **facts: float | str) -> None:
        del facts
        if done == self.step:
            raise KeyboardInterrupt
