"""Sizes of a network's inputs that its ONNX graph leaves free: stated by the user, or refused. A free batch is 1."""

from typing import Any

from eenn_rl.backbone import Shape
from eenn_rl.errors import InputFileError, InvalidValueError

AXES = ("batch", "channels", "height", "width")


def with_sizes(model: Any, source: str, shape: Shape | None) -> Any:
    """A copy of `model` whose inputs have known sizes: batch 1, images of `shape` (channels, height, width) if given.

    `source` names the model in an error. Raises `InputFileError` for sizes that stay free, `InvalidValueError` where
    `shape` is not the one that the model states.
    """
    sized = type(model)()
    sized.CopyFrom(model)
    graph = sized.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    for value in inputs:
        _fix_batch(_dims(value))
    if shape is not None:
        _state(inputs, shape, source)
    for value in inputs:
        _refuse_free(value, source)
    _forget_free(graph)
    return sized


def _dims(value: Any) -> Any:
    return value.type.tensor_type.shape.dim


def _fix_batch(dims: Any) -> None:
    if len(dims) and dims[0].dim_value < 1:
        dims[0].dim_value = 1


def _state(inputs: list[Any], shape: Shape, source: str) -> None:
    """Give every input that is an image the sizes of `shape`."""
    images = [value for value in inputs if len(_dims(value)) == len(AXES)]
    if not images:
        raise InvalidValueError(f"--input-shape: {source} has no input of images (batch, C, H, W): leave it out")
    for value in images:
        dims = _dims(value)[1:]
        if any(dim.dim_value > 0 and dim.dim_value != size for dim, size in zip(dims, shape, strict=True)):
            stated = ",".join(str(dim.dim_value) if dim.dim_value > 0 else "any" for dim in dims)
            raise InvalidValueError(
                f"--input-shape {','.join(map(str, shape))}: expected {stated}, as input {value.name!r} of {source} "
                "states: give that, or leave it out where all of it is stated"
            )
        for dim, size in zip(dims, shape, strict=True):
            dim.dim_value = size


def _refuse_free(value: Any, source: str) -> None:
    dims = _dims(value)
    names = AXES if len(dims) == len(AXES) else tuple(f"dimension {axis}" for axis in range(len(dims)))
    free = [
        f"{name} ({dim.dim_param})" if dim.dim_param else name
        for name, dim in zip(names, dims, strict=True) if dim.dim_value < 1
    ]  # fmt: skip
    if free:
        cure = "give --input-shape C,H,W" if names is AXES else "export it again with known sizes"
        raise InputFileError(
            f"{source}: input {value.name!r}: expected known sizes, found {', '.join(free)} free: {cure}"
        )


def _forget_free(graph: Any) -> None:
    """Drop what the file says of sizes that follow from free ones: inference keeps a name where it found a number."""
    known = [value for value in graph.value_info if all(dim.dim_value > 0 for dim in _dims(value))]
    del graph.value_info[:]
    graph.value_info.extend(known)
    for value in graph.output:
        for dim in _dims(value):
            if dim.dim_value < 1:
                dim.Clear()
