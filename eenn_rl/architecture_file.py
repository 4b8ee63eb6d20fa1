"""The architecture file: the JSON that ``eenn-rl show --json`` prints under `architecture` and ``eenn-rl cost`` reads.

    {"backbone": {"name": "resnet8", "input_shape": [3, 32, 32], "num_classes": 10},
     "exits": [{"location": 1, "branch": "dsconv", "bits": 8, "core": 0, "branch_core": 1}, ...]}

`backbone` may also be a shipped backbone's bare name (then for 3x32x32 images and 10 classes), and must hold the
`blocks` of a network that is not shipped.
"""

from pathlib import Path
from typing import Any

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.backbone import Backbone
from eenn_rl.errors import EennError, InputFileError, unknown_name
from eenn_rl.serialization import from_json, read_json, to_json
from eenn_rl.zoo import BACKBONES, make_backbone

_SHORT = {"name", "input_shape", "num_classes"}


def architecture_to_json(architecture: Architecture) -> dict[str, Any]:
    """`architecture` as the file's JSON; a shipped backbone is named, any other is written out."""
    backbone = architecture.backbone
    short = {"name": backbone.name, "input_shape": list(backbone.input_shape), "num_classes": backbone.num_classes}
    shipped = (
        backbone.name in BACKBONES
        and make_backbone(backbone.name, backbone.input_shape, backbone.num_classes) == backbone
    )
    return {"backbone": short if shipped else to_json(backbone), "exits": to_json(architecture.exits)}


def architecture_from_json(data: Any, source: str) -> Architecture:
    """The architecture in plain JSON `data`; `source` names it in an error."""
    if not isinstance(data, dict) or not {"backbone", "exits"} <= data.keys():
        raise InputFileError(f"{source}: expected an architecture with keys backbone and exits, found other content")
    backbone = _backbone(data["backbone"], f"{source}: backbone")
    exits = from_json(tuple[Exit, ...], data["exits"], f"{source}: exits")
    try:
        return Architecture(backbone, exits)
    except EennError as error:
        raise InputFileError(f"{source}: {error}") from None


def check_architecture(data: Any, exits: int, source: str) -> None:
    """Raise unless plain JSON `data` is an architecture with so many `exits`; `source` names it in an error."""
    found = len(architecture_from_json(data, source).exits)
    if found != exits:
        raise InputFileError(f"{source}: expected {exits} exits, one for each exit rate, found {found}")


def read_architecture(path: Path) -> Architecture:
    """The architecture in a user's file."""
    return architecture_from_json(read_json(path), str(path))


def _backbone(data: Any, source: str) -> Backbone:
    if isinstance(data, str):
        data = {"name": data}
    if isinstance(data, dict) and "name" in data and data.keys() <= _SHORT:
        if str(data["name"]) not in BACKBONES:  # a file may not name code: make_backbone would import and call it
            raise InputFileError(f"{source}: {unknown_name('shipped backbone', data['name'], BACKBONES)}")
        try:
            return make_backbone(
                str(data["name"]), tuple(data.get("input_shape", (3, 32, 32))), int(data.get("num_classes", 10))
            )
        except EennError as error:
            raise InputFileError(f"{source}: {error}") from None
        except (TypeError, ValueError):
            raise InputFileError(f"{source}: expected input_shape [channels, height, width], found {data!r}") from None
    return from_json(Backbone, data, source)
