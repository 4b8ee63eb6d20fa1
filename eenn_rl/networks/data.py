"""Data sets: `load_dataset(name or folder)` gives train, validation and test images, split once and for all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eenn_rl.errors import InputFileError, InvalidValueError, unknown_name
from eenn_rl.networks import digits
from eenn_rl.networks.folder import read_folder
from eenn_rl.networks.settings import DATASETS
from eenn_rl.networks.torchvision_compat import datasets

VALIDATION_SHARE, SPLIT_SEED = 0.1, 20240511
DEFAULT_ROOT = Path.home() / ".cache" / "eenn-rl"

View = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""(train_x, chosen indices, generator) -> freshly augmented uint8 images of those."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images uint8 [N, C, H, W] and labels int64 [N] of three disjoint splits.

    `view` augments training images. `..._groups` [N] name the original that each image was made from: images of one
    original are not independent. `mean` and `std`, per channel, are those of the training images, in 0..1.
    """

    name: str
    train_x: Tensor
    train_y: Tensor
    validation_x: Tensor
    validation_y: Tensor
    test_x: Tensor
    test_y: Tensor
    num_classes: int
    validation_groups: Tensor
    test_groups: Tensor
    view: View
    mean: Tensor
    std: Tensor

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        channels, height, width = self.validation_x.shape[1:]
        return channels, height, width

    def judged_images(self) -> tuple[Tensor, Tensor, Tensor]:
        """Validation images, labels and groups that networks, and shared weights, are judged by.

        Where training mirrors images, a mirrored image is as good as its original: both are there, in one group, so
        that what chance decides of an image that is close weighs half as much.
        """
        images, labels, groups = self.validation_x, self.validation_y, self.validation_groups
        if not self.mirrors:
            return images, labels, groups
        return torch.cat([images, images.flip(3)]), labels.repeat(2), groups.repeat(2)

    @property
    def mirrors(self) -> bool:
        """Whether training mirrors half of its images."""
        return self.view is crop_and_flip

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images as float32 of about zero mean and unit variance."""
        scale = 1 / (255 * self.std.view(1, -1, 1, 1))
        return images.float() * scale - (self.mean / self.std).view(1, -1, 1, 1)

    def to(self, device: torch.device | str) -> "Dataset":
        """The same with every tensor on `device`."""
        return _rebuilt({key: _moved(value, device) for key, value in vars(self).items()})

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process as plain arrays: torch's own way needs shared memory, which containers ration."""
        plain = {key: value.cpu().numpy() if isinstance(value, Tensor) else value for key, value in vars(self).items()}
        return _rebuilt, (plain,)


def _moved(value: Any, device: torch.device | str) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value


def _rebuilt(values: dict[str, Any]) -> Dataset:
    tensors: dict[str, Any] = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}
    return Dataset(**tensors)


def _statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    values = images.float().flatten(2) / 255
    return values.mean((0, 2)), values.std((0, 2)).clamp_min(1e-3)


def _digits_view(originals: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    return digits.render(originals[chosen].squeeze(1).float().cpu() / 16, generator).to(originals.device)


def load_digits_canvas() -> Dataset:
    """The embedded data set; its `train_x` are the 8x8 originals (values 0..16), rendered anew by `view`."""
    train, validation, test = digits.load_originals()
    seed = digits.SPLIT_SEED
    validation_x, validation_y, validation_groups = digits.render_split(
        validation, digits.VALIDATION_RENDERINGS, seed + 1
    )
    test_x, test_y, test_groups = digits.render_split(test, digits.TEST_RENDERINGS, seed + 2)
    shown, _, _ = digits.render_split(train, 1, seed + 3)
    train_x = (train.images * 16).to(torch.uint8).unsqueeze(1)
    return Dataset(
        "digits", train_x, train.labels, validation_x, validation_y, test_x, test_y, 10,
        validation_groups, test_groups, _digits_view, *_statistics(shown),
    )  # fmt: skip


def crop_and_flip(images: Tensor, chosen: Tensor, generator: torch.Generator, *, flip: bool = True) -> Tensor:
    """Each chosen image shifted by up to an eighth of its height and width (zeros come in), half of them mirrored."""
    n, size = len(chosen), images.shape[2:]
    down, right = (max(1, side // 8) for side in size)
    bounds = torch.tensor([2 * down + 1, 2 * right + 1])
    # One draw for both axes, scaled to each: even as far as whole pixels allow.
    most = int(bounds.max())
    draw = (torch.randint(0, most, (n, 2), generator=generator) * bounds // most).to(images.device)
    mirrored = torch.rand(n, generator=generator).lt(0.5 if flip else 0).to(images.device)
    rows = draw[:, :1] + torch.arange(size[0], device=images.device)
    columns = torch.arange(size[1], device=images.device).expand(n, -1)
    columns = draw[:, 1:] + torch.where(mirrored[:, None], size[1] - 1 - columns, columns)
    padded = functional.pad(images[chosen], (right, right, down, down)).permute(0, 2, 3, 1)
    batch = torch.arange(n, device=images.device)[:, None, None]
    return padded[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _crop(images: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    return crop_and_flip(images, chosen, generator, flip=False)


Images = tuple[np.ndarray, np.ndarray]


def _assemble(name: str, train: Images, test: Images, num_classes: int, view: View) -> Dataset:
    """A data set of given train and test images (uint8 [N, C, H, W], labels); a tenth of train is held out."""
    held = max(num_classes, round(len(train[1]) * VALIDATION_SHARE))
    kept, validation, _ = digits.split_indices(train[1], SPLIT_SEED, held, 0)
    images, labels = torch.from_numpy(train[0]), torch.from_numpy(train[1].astype(np.int64))
    return Dataset(
        name, images[kept], labels[kept], images[validation], labels[validation], torch.from_numpy(test[0]),
        torch.from_numpy(test[1].astype(np.int64)), num_classes, torch.from_numpy(validation),
        torch.arange(len(test[1])), view, *_statistics(images[kept]),
    )  # fmt: skip


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if images.shape[-1] == 3 else images


def _download(name: str, root: Path, *, download: bool) -> Dataset:
    kind, classes = {"cifar10": ("CIFAR10", 10), "cifar100": ("CIFAR100", 100), "svhn": ("SVHN", 10)}[name]
    parts = {"train": {"split": "train"}, "test": {"split": "test"}} if name == "svhn" else {
        "train": {"train": True}, "test": {"train": False}
    }  # fmt: skip
    try:
        if download:
            root.mkdir(parents=True, exist_ok=True)
        made = [getattr(datasets(), kind)(str(root), download=download, **which) for which in parts.values()]
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputFileError(
            f"data set {name!r}: expected it in {root} or on the internet, found neither ({reason}); connect and try "
            f"again, or give a folder with train/ and test/ as --dataset"
        ) from None
    labels = "labels" if name == "svhn" else "targets"
    train, test = ((_channels_first(np.asarray(part.data)), np.asarray(getattr(part, labels))) for part in made)
    return _assemble(name, train, test, classes, _crop if name == "svhn" else crop_and_flip)


def device_of(name: str) -> torch.device:
    """The torch device `name`; raises `InvalidValueError` where this machine has none such."""
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:80]
        raise InvalidValueError(
            f"--device {name}: expected a device that torch can use here, found none of that name ({reason}); cpu "
            f"always works"
        ) from None
    return device


def load_dataset(name: str, root: Path | None = None, *, download: bool = True) -> Dataset:
    """The data set `name`: `digits` (embedded), one of torchvision's, or a folder in ImageFolder layout.

    Downloads go to `root`; without `download` only what is there already is taken. Raises `InputFileError` where there
    is no such data, `InvalidValueError` for a name that is neither known nor a folder. The split never depends on a
    seed.
    """
    if name == "digits":
        return load_digits_canvas()
    if name in DATASETS:
        return _download(name, root or DEFAULT_ROOT, download=download)
    path = Path(name)
    if not path.is_dir():
        looks_like_path = "/" in name or path.exists()
        if looks_like_path:
            raise InputFileError(
                f"data set {name}: expected a folder with train/<class>/ and test/<class>/, found "
                f"{'a file' if path.exists() else 'nothing'}: check the path"
            )
        raise unknown_name("data set", name, DATASETS, "a folder with train/<class>/ and test/<class>/")
    return _assemble(path.resolve().name, *read_folder(path), crop_and_flip)
