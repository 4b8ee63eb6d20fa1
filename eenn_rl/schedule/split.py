"""A layer split over the output channels (or groups) of a group of cores."""

from dataclasses import replace

from eenn_rl.backbone import Layer

CHANNELWISE = ("depthwise", "pool", "add")
"""Kinds whose output channels each read their own input channel alone."""


def slices(layer: Layer, cores: int) -> tuple[Layer, ...]:
    """One slice per core that gets work: even shares of the output channels, the larger ones first.

    The slices' MACs add up to the layer's, exactly.
    """
    if cores == 1:
        return (layer,)
    if layer.kind in CHANNELWISE:
        return tuple(_channels(layer, share) for share in _shares(layer.in_channels, cores))
    if layer.groups > 1:
        return tuple(_groups(layer, share) for share in _shares(layer.groups, cores))
    return tuple(replace(layer, out_channels=share) for share in _shares(layer.out_channels, cores))


def _shares(total: int, parts: int) -> tuple[int, ...]:
    each, rest = divmod(total, parts)
    return tuple(share for share in (each + (index < rest) for index in range(parts)) if share)


def _channels(layer: Layer, share: int) -> Layer:
    groups = share if layer.kind == "depthwise" else 1
    return replace(layer, groups=groups, in_channels=share, out_channels=share)


def _groups(layer: Layer, share: int) -> Layer:
    return replace(
        layer,
        groups=share,
        in_channels=layer.in_channels // layer.groups * share,
        out_channels=layer.out_channels // layer.groups * share,
    )


def needs_whole_input(layer: Layer) -> bool:
    """Whether every slice of `layer` reads all input channels."""
    return layer.kind not in CHANNELWISE and layer.groups == 1
