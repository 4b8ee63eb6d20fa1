"""ONNX networks in a user's file as layers: shapes only, whatever else the network is made of."""

from pathlib import Path

from eenn_rl.backbone import Layer
from eenn_rl.errors import InputFileError


def read_onnx(
    path: Path, input_shape: tuple[int, int, int] | None = None
) -> tuple[tuple[Layer, ...], int | None, tuple[str, ...]]:
    """The layers of an ONNX network in order, its bits where we exported it, and notes on what is not costed.

    `input_shape` (channels, height, width) states sizes of its image that it leaves free.
    """
    from eenn_rl.export_onnx import BITS_KEY, layers_of_model
    from eenn_rl.export_onnx.dependency import import_onnx

    onnx = import_onnx()
    if not path.exists():
        raise InputFileError(f"{path}: expected an ONNX network, found none: check the path")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # noqa: BLE001  (onnx raises protobuf's own exceptions for anything that is no model)
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputFileError(f"{path}: expected an ONNX network, found something else: {first}") from None
    notes: list[str] = []
    stated = [item.value for item in model.metadata_props if item.key == BITS_KEY]
    bits = int(stated[0]) if stated and stated[0].isascii() and stated[0].isdecimal() and len(stated[0]) < 3 else None
    return layers_of_model(model, str(path), notes, input_shape), bits, tuple(notes)
