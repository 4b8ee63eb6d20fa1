"""What of a core a layer gets: one rule for every layer model."""

from collections.abc import Sequence

from eenn_rl.backbone import LAYER_KINDS, Layer
from eenn_rl.hardware import Dataflow


def dataflow_for(flows: Sequence[Dataflow], layer: Layer) -> int | None:
    """Which of `flows` holds for `layer`: the first for its name, else for its kind, else for all; None: free.

    The order is that of ZigZag's mapping files. A layer called like a kind is not meant by a flow for that kind.
    """
    for name in (layer.name, layer.kind) if layer.name not in LAYER_KINDS else (layer.kind,):
        found = next((place for place, flow in enumerate(flows) if name in flow.kinds), None)
        if found is not None:
            return found
    return next((place for place, flow in enumerate(flows) if not flow.kinds), None)
