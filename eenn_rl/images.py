"""What a run keeps of a user's folder of images: fingerprint, names of its classes, how a file becomes pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eenn_rl.errors import check
from eenn_rl.serialization import from_json, read_json

SHOWN = 20
"""Names of classes in a line."""


@dataclass(frozen=True)
class ImageForm:
    """How an image file becomes the uint8 pixels [C, H, W] that a network takes.

    It is brought to `colour` (grey, or red, green, blue), of 16-bit grey values the upper 8 bits; then one of another
    size is resized to `height` x `width`, whatever its shape. Nothing is cropped.
    """

    colour: Literal["grey", "rgb"]
    height: int
    width: int
    resize: Literal["bilinear"] = "bilinear"
    crop: Literal["none"] = "none"

    def __post_init__(self) -> None:
        for field in ("height", "width"):
            check(getattr(self, field) >= 1, field, getattr(self, field), "at least 1")


@dataclass(frozen=True)
class ImageRecord:
    """What ``images.json`` says; `classes`, their names in the order of labels, and `image` are new: None before."""

    sha256: str
    files: int
    classes: tuple[str, ...] | None = None
    image: ImageForm | None = None

    def told(self) -> str:
        """Names and form in a sentence; empty where the record lacks them."""
        if self.classes is None or self.image is None:
            return ""
        more = len(self.classes) - SHOWN
        names = ", ".join(self.classes[:SHOWN]) + (f" and {more} more" if more > 0 else "")
        image = self.image
        return (
            f"Images: {self.files:,} files in {len(self.classes)} classes ({names}), {image.colour}, brought to "
            f"{image.height}x{image.width} ({image.resize}, nothing cropped)."
        )


def read_images(path: Path) -> ImageRecord | None:
    """The record in `path`, a run's ``images.json``; None where there is none."""
    return from_json(ImageRecord, read_json(path), str(path)) if path.exists() else None
