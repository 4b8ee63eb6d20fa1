"""Layer lists: JSON descriptions of single layers for ``eenn-rl cost``."""

from dataclasses import dataclass
from typing import Any

from eenn_rl.backbone import LAYER_KINDS, Layer, Size
from eenn_rl.errors import InputFileError, InvalidValueError, check

_REQUIRED = {"name", "kind", "in_channels", "out_channels"}
MOST = 2**31 - 1
"""The largest size or number of channels: their products stay within floating point."""
_OPTIONAL = {"in_size", "out_size", "kernel", "stride", "bits", "padding", "groups"}


@dataclass(frozen=True)
class ListedLayer:
    """A layer and its bit-width."""

    layer: Layer
    bits: int


def parse_layers(data: Any, source: str) -> tuple[ListedLayer, ...]:
    """The layers of a JSON list; errors name the entry, the key, the value and the bound."""
    if not isinstance(data, list) or not data:
        found = "an empty one" if isinstance(data, list) else type(data).__name__
        raise InputFileError(f"{source}: expected a list of layers, found {found}")
    return tuple(_layer(entry, f"{source}: layer {place}") for place, entry in enumerate(data))


def _layer(entry: Any, where: str) -> ListedLayer:
    if not isinstance(entry, dict):
        raise InputFileError(f"{where}: expected an object, found {entry!r:.60}")
    missing, unknown = _REQUIRED - set(entry), set(entry) - _REQUIRED - _OPTIONAL
    if missing:
        raise InputFileError(f"{where}: expected the key {min(missing)!r}, found {', '.join(map(str, entry))}")
    if unknown:
        known = ", ".join(sorted(_REQUIRED | _OPTIONAL))
        raise InputFileError(f"{where}: unknown key {min(map(str, unknown))!r}: expected {known}")
    try:
        return _checked(entry)
    except InvalidValueError as error:
        raise InputFileError(f"{where}: {error}") from None


def _checked(entry: dict[str, Any]) -> ListedLayer:
    kind = entry["kind"]
    check(kind in LAYER_KINDS, "kind", kind, "one of " + ", ".join(LAYER_KINDS))
    in_size, kernel, stride = (_size(entry, key, 1) for key in ("in_size", "kernel", "stride"))
    same = (-(-in_size[0] // stride[0]), -(-in_size[1] // stride[1]))
    out_size = _size(entry, "out_size", same)
    channels = _count(entry, "in_channels")
    groups = _count(entry, "groups", channels if kind == "depthwise" else 1)
    bits = _count(entry, "bits", 8)
    check(bits <= 32, "bits", bits, "between 1 and 32")
    padding = _size(entry, "padding", _same_padding(in_size, out_size, kernel, stride), least=0)
    name = entry["name"]
    check(isinstance(name, str), "name", name, "a string")
    layer = Layer(
        name, kind, groups, channels, _count(entry, "out_channels"), in_size, out_size, kernel, stride, padding
    )
    _check_kind(layer)
    return ListedLayer(layer, bits)


def _check_kind(layer: Layer) -> None:
    """Raise `InvalidValueError` for sizes that a layer of its kind cannot have."""
    kind = f"for kind {layer.kind}"
    if layer.kind == "linear":
        features = f"(1, 1) {kind}, whose in_channels count all features"
        for field in ("in_size", "out_size", "kernel"):
            check(getattr(layer, field) == (1, 1), field, getattr(layer, field), features)
    if layer.kind == "add":
        check(layer.kernel == (1, 1), "kernel", layer.kernel, f"(1, 1) {kind}")
        check(layer.out_size == layer.in_size, "out_size", layer.out_size, f"in_size {layer.in_size} {kind}")


def _same_padding(in_size: Size, out_size: Size, kernel: Size, stride: Size) -> Size:
    """What the given sizes leave to pad, evenly (one more at the end where it is odd); never as much as the kernel."""
    total = [max(0, (out_size[a] - 1) * stride[a] + kernel[a] - in_size[a]) for a in (0, 1)]
    return (min(total[0], kernel[0]) // 2, min(total[1], kernel[1]) // 2)


def _count(entry: dict[str, Any], key: str, default: int | None = None) -> int:
    value = entry.get(key, default)
    check(isinstance(value, int) and not isinstance(value, bool) and value >= 1, key, value, "an integer of at least 1")
    _check_most(key, int(value))  # type: ignore[arg-type]
    return int(value)  # type: ignore[arg-type]


def _size(entry: dict[str, Any], key: str, default: int | Size, least: int = 1) -> Size:
    """A size given as one integer or as (height, width)."""
    value = entry.get(key, default)
    pair = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, list | tuple) else ()
    good = len(pair) == 2 and all(isinstance(v, int) and not isinstance(v, bool) and v >= least for v in pair)
    check(good, key, value, f"an integer of at least {least}, or two of them (height, width)")
    _check_most(key, *pair)
    return (pair[0], pair[1])


def _check_most(key: str, *values: int) -> None:
    if max(values) > MOST:
        # Not `check`, which shows the value: it may have any number of digits.
        raise InvalidValueError(f"{key} must be at most {MOST}, found a number of {max(values).bit_length()} bits")
