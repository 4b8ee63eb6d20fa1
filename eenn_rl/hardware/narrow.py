"""Dataflows that leave an array idle: pooling and additions have neither K nor C to unroll."""

from collections.abc import Iterator

from eenn_rl.hardware.accelerator import AcceleratorSpec
from eenn_rl.hardware.core import ArrayDimension, CoreSpec

_LOOPS = {"pool": ("G", "OX", "OY", "FX", "FY"), "add": ("G", "OX", "OY")}
"""The loops of a layer that has a channel per group."""
_CORE_KINDS = {"pool": "pooling", "add": "simd"}


def narrow_dataflows(spec: AcceleratorSpec) -> Iterator[str]:
    """Which cores would pool or add on one unit of their array, a line for those that are alike."""
    special = {core.kind for core in spec.cores}
    found: dict[tuple[str, tuple[ArrayDimension, ...]], list[CoreSpec]] = {}
    for core in spec.cores:
        kinds = [
            layer
            for layer, kind in _CORE_KINDS.items()
            if core.kind == (kind if kind in special else "compute") and _on_one_unit(core, layer)
        ]
        if kinds:
            found.setdefault((" and ".join(kinds), core.array), []).append(core)
    for (layers, _), cores in found.items():
        first = cores[0].array[0]
        yield (
            f"{', '.join(core.name for core in cores)}: {layers} would run on one unit of {cores[0].array_size}, as "
            f"the dataflow for them unrolls no loop that they have: name them in one, for example "
            f"`pool add: {{{first.name}: [[G, {first.size}]]}}`"
        )


def _on_one_unit(core: CoreSpec, kind: str) -> bool:
    named = [flow for flow in core.dataflows if kind in flow.kinds]
    holding = named or [flow for flow in core.dataflows if not flow.kinds]
    if not holding or core.array_size == 1:
        return False
    unrolling = holding[0].unrolling
    free = {dimension.name for dimension in core.array} - {loops.dimension for loops in unrolling}
    return not free and not any(loops.loop in _LOOPS[kind] and loops.size > 1 for loops in unrolling)
