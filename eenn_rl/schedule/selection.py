"""What of a core a layer gets, dataflow and precision: one rule for every layer model."""

from collections.abc import Iterable, Sequence

from eenn_rl.backbone import LAYER_KINDS, Layer
from eenn_rl.hardware import CoreSpec, Dataflow, Precision


def dataflow_for(flows: Sequence[Dataflow], layer: Layer) -> int | None:
    """Which of `flows` holds for `layer`: the first for its name, else for its kind, else for all; None: free.

    The order is that of ZigZag's mapping files. A name that is a layer kind stands for the kind alone.
    """
    for name in (layer.name, layer.kind) if layer.name not in LAYER_KINDS else (layer.kind,):
        found = next((place for place, flow in enumerate(flows) if name in flow.kinds), None)
        if found is not None:
            return found
    return next((place for place, flow in enumerate(flows) if not flow.kinds), None)


def precision_for(core: CoreSpec, bits: int) -> Precision:
    """What `core` does at `bits`: its narrowest precision that is wide enough, or its widest."""
    return next((precision for precision in core.precisions if precision.bits >= bits), core.precisions[-1])


def macs_per_second(cores: Iterable[CoreSpec], bits: int) -> float:
    """The most that all units of `cores` do together at `bits`."""
    return sum(core.clock_hz * core.array_size * precision_for(core, bits).throughput for core in cores)
