"""Images of a user's folder, laid out as torchvision's ImageFolder: ``train/<class>/*.png``, ``test/<class>/*.png``."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eenn_rl.errors import InputFileError
from eenn_rl.networks.settings import DATASETS

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
LARGEST = 64
"""Images larger than this many pixels on a side are reduced to `REDUCED`."""
REDUCED = 32


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


def _files(folder: Path) -> list[Path]:
    files = sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in EXTENSIONS)
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


def _pixels(file: Path, mode: str, size: tuple[int, int] | None) -> np.ndarray:
    with _opened(file) as image:
        shown = _eight_bits(image, file).convert(mode)
    if size is not None and shown.size != size:
        shown = shown.resize(size, Image.Resampling.BILINEAR)
    array = np.asarray(shown)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _format(file: Path) -> tuple[str, tuple[int, int]]:
    """("L" or "RGB", (width, height)) that every image is brought to, from the first one."""
    with _opened(file) as image:
        mode = "L" if image.mode in ("1", "L") or _is_deep(image) else "RGB"
        return mode, image.size if max(image.size) <= LARGEST else (REDUCED, REDUCED)


def form_of(path: Path) -> tuple[tuple[int, int, int], int]:
    """(channels, height, width) of the images that `read_folder` gives, and the number of classes; reads one image."""
    classes = _classes(path / "train")
    mode, (width, height) = _format(_files(path / "train" / classes[0])[0])
    return (1 if mode == "L" else 3, height, width), len(classes)


def fingerprint_of(name: str) -> dict[str, Any] | None:
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
    return {"sha256": digest.hexdigest(), "files": count}


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputFileError(f"{file}: expected an image, found a file that cannot be read: {error.strerror}") from None


def read_folder(path: Path) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], int]:
    """(images uint8 [N, C, H, W], labels) of train and of test, and the number of classes (their names sorted).

    All images take the size of the first, or 32x32 where that is larger than 64 on a side.
    """
    classes = _classes(path / "train")
    if _classes(path / "test") != classes:
        raise InputFileError(f"{path}: expected the same classes in train/ and test/, found different folders there")
    mode, size = _format(_files(path / "train" / classes[0])[0])
    parts = []
    for part in ("train", "test"):
        files = [(file, label) for label, name in enumerate(classes) for file in _files(path / part / name)]
        images = np.stack([_pixels(file, mode, size) for file, _ in files])
        parts.append((images, np.array([label for _, label in files])))
    if min(np.bincount(parts[0][1])) < 10:
        raise InputFileError(f"{path}/train: expected at least 10 images per class, found fewer: add images")
    return parts[0], parts[1], len(classes)
