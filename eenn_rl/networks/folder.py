"""Images of a user's folder, laid out as torchvision's ImageFolder: ``train/<class>/*.png``, ``test/<class>/*.png``."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from eenn_rl.errors import InputFileError
from eenn_rl.images import ImageForm, ImageRecord
from eenn_rl.networks.settings import DATASETS

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
LARGEST = 64
"""Images larger than this many pixels on a side are reduced to `REDUCED`."""
REDUCED = 32
LEAST = 10
"""Training images of a class."""
_LOG = logging.getLogger(__name__)


def _classes(part: Path) -> list[str]:
    if not part.is_dir():
        raise InputFileError(
            f"{part.parent}: expected the folders train/ and test/, found no {part.name}/: lay it out as "
            f"{part.name}/<class>/<image>"
        )
    names = sorted(entry.name for entry in part.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:
        raise InputFileError(f"{part}: expected a folder per class, at least two, found {len(names)}")
    return names


def _images(folder: Path) -> list[Path]:
    """The images in `folder`; none where it is missing."""
    return sorted(entry for entry in folder.glob("*") if entry.suffix.lower() in EXTENSIONS)


def _files(folder: Path) -> list[Path]:
    files = _images(folder)
    if not files:
        raise InputFileError(f"{folder}: expected images ({', '.join(EXTENSIONS)}), found none")
    return files


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """The image in `file`; whatever Pillow raises for a damaged or hostile one within becomes one line."""
    try:
        with Image.open(file) as image:
            yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputFileError(f"{file}: expected an image, found something else ({reason}): remove it") from None


def _is_deep(image: Image.Image) -> bool:
    """Whether its grey values are integers of more than eight bits."""
    return image.mode == "I" or image.mode.startswith("I;")


def _eight_bits(image: Image.Image, file: Path) -> Image.Image:
    """With eight bits per channel: of sixteen the upper ones (Pillow's own conversion cuts all beyond 255)."""
    if image.mode == "F":
        raise InputFileError(f"{file}: expected 8 or 16 bits per channel, found floating-point numbers: convert it")
    if not _is_deep(image):
        return image
    values = np.asarray(image.convert("I"))
    if values.min() < 0 or values.max() >= 2**16:
        raise InputFileError(f"{file}: expected 8 or 16 bits per channel, found values beyond them: convert it")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _pixels(file: Path, mode: str, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """The pixels [C, H, W] of an image, brought to `mode` and `size`, and whether it was grey."""
    with _opened(file) as image:
        grey = _is_grey(image)
        shown = _eight_bits(image, file).convert(mode)
    if shown.size != size:
        shown = shown.resize(size, Image.Resampling.BILINEAR)
    array = np.asarray(shown)
    return (array[None] if array.ndim == 2 else array.transpose(2, 0, 1)), grey


def _is_grey(image: Image.Image) -> bool:
    """Whether it has one channel; a grey image stored as RGB has three."""
    return image.mode in ("1", "L") or _is_deep(image)


def _holds_grey(file: Path) -> bool:
    """The same of a file, by its header alone."""
    with _opened(file) as image:
        return _is_grey(image)


def _format(path: Path, classes: list[str]) -> tuple[str, tuple[int, int]]:
    """("L" or "RGB", (width, height)) of all images: RGB where any has colour, as large as the first."""
    first = _files(path / "train" / classes[0])[0]
    with _opened(first) as image:
        size = image.size if max(image.size) <= LARGEST else (REDUCED, REDUCED)
    # It ends at the first one in colour: as a rule the first of all, where there is any.
    grey = all(
        _holds_grey(file) for part in ("train", "test") for name in classes for file in _images(path / part / name)
    )
    return "L" if grey else "RGB", size


def form_of(path: Path) -> tuple[tuple[int, int, int], int]:
    """(channels, height, width) of the images that `read_folder` gives, and the number of classes; reads headers."""
    classes = _classes(path / "train")
    mode, (width, height) = _format(path, classes)
    return (1 if mode == "L" else 3, height, width), len(classes)


def described(record: ImageRecord, path: Path) -> ImageRecord:
    """`record` with the names of the classes in the folder `path`, and how its images become pixels."""
    (channels, height, width), _ = form_of(path)
    form = ImageForm("grey" if channels == 1 else "rgb", height, width)
    return replace(record, classes=tuple(_classes(path / "train")), image=form)


def fingerprint_of(name: str) -> ImageRecord | None:
    """SHA-256 over the names and contents of all images in the folder `name`, and how many; None where none is here.

    Of the files, not of their pixels: what decodes them may differ in the last bit on another machine.
    """
    path, digest, count = Path(name), hashlib.sha256(), 0
    if name in DATASETS or not path.is_dir():
        return None
    for part in ("train", "test"):
        for file in sorted(file for file in path.glob(f"{part}/*/*") if file.suffix.lower() in EXTENSIONS):
            content = _content(file)
            digest.update(f"{file.relative_to(path).as_posix()} {len(content)}\n".encode())
            digest.update(content)
            count += 1
    return ImageRecord(digest.hexdigest(), count)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputFileError(f"{file}: expected an image, found a file that cannot be read: {error.strerror}") from None


def read_folder(path: Path) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], int]:
    """(images uint8 [N, C, H, W], labels) of train and of test, and the number of classes (their names sorted).

    All images take the size of the first, or 32x32 where that is larger than 64 on a side; they are in colour where
    any of them is.
    """
    classes = _classes(path / "train")
    _check_classes(path, classes)
    files = {part: [_files(path / part / name) for name in classes] for part in ("train", "test")}
    _check_counts(path / "train", dict(zip(classes, map(len, files["train"]), strict=True)))
    mode, size = _format(path, classes)
    train, test = (_read(part, mode, size) for part in files.values())
    grey, count = train[2] + test[2], len(train[1]) + len(test[1])
    if mode == "RGB" and grey:
        _LOG.warning(f"warning: {path}: {grey:,} of {count:,} images are grey: all are taken in colour")
    return train[:2], test[:2], len(classes)


def _read(groups: list[list[Path]], mode: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, int]:
    """Images and labels of the files of each class, and how many images are grey."""
    read = [_pixels(file, mode, size) for group in groups for file in group]
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return np.stack([image for image, _ in read]), labels, sum(grey for _, grey in read)


def _check_classes(path: Path, classes: list[str]) -> None:
    """Refuse other classes in test/ than in train/."""
    found = _classes(path / "test")
    alone = [
        f"{_some(sorted(names))} in {part}/ alone"
        for part, names in (("train", set(classes) - set(found)), ("test", set(found) - set(classes))) if names
    ]  # fmt: skip
    if alone:
        raise InputFileError(
            f"{path}: expected the same classes in train/ and test/, found {', '.join(alone)}: rename or remove them"
        )


def _check_counts(part: Path, counts: dict[str, int]) -> None:
    """Refuse classes of fewer images than the validation split can be taken from."""
    few = [f"{count} in {name}" for name, count in counts.items() if count < LEAST]
    if few:
        raise InputFileError(f"{part}: expected at least {LEAST} images per class, found {_some(few)}: add images")


def _some(names: list[str]) -> str:
    """Three of `names`, and how many more there are."""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
