"""Workloads to try a backend on: random legal architectures, and one that fits nowhere."""

from itertools import chain

import numpy as np

from eenn_rl.backbone import Backbone, Layer
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.space import SearchSpace
from eenn_rl.workload import Stage, Workload, workload_of


def sample_workloads(
    accelerator: AcceleratorSpec, backbone: Backbone, count: int = 8, seed: int = 0
) -> tuple[Workload, ...]:
    """One network without exits per bit-width that some core supports, then `count` random ones, two to four exits."""
    bits = tuple(sorted(set(chain.from_iterable(core.supported_bits for core in accelerator.cores))))
    rng = np.random.default_rng(seed)
    # Most architectures have as many exits as allowed: bound them in turn, so that few exits are tried as well.
    spaces = [SearchSpace(backbone, accelerator, bits=bits, max_exits=2 + i % 3) for i in range(max(count, 1))]
    static = [spaces[0].decode(spaces[0].static(b)[0]) for b in spaces[0].usable_bits]
    random = [space.decode(space.sample(rng, 1)[0]) for space in spaces[:count]]
    return tuple(workload_of(architecture) for architecture in (*static, *random))


def oversized_workload(accelerator: AcceleratorSpec) -> Workload:
    """One convolution whose feature maps take more than 64 gigabytes at 8 bits, and a classifier.

    On the first allocation whose cores share a bit-width.
    """
    size, channels = (2048, 2048), 16384
    huge = Layer("huge", "conv", 1, channels, channels, size, size, (3, 3), (1, 1), (1, 1))
    pool = Layer("pool", "pool", 1, channels, channels, size, (1, 1), size, size, reads=("huge",), pooling="average")
    linear = Layer("linear", "linear", 1, channels, 10, (1, 1), (1, 1), reads=("pool",))
    usable = (place for place in range(len(accelerator.allocations)) if accelerator.allocation_bits(place))
    place = next(usable)  # a search never takes the others
    return Workload((Stage((huge,), (pool, linear), accelerator.allocation_bits(place)[-1], place, place),))


def describe(workload: Workload) -> str:
    """`workload` in one line, for messages: layers, bits and allocations stage by stage."""
    stages = (
        f"{len(s.layers)}+{len(s.branch_layers)} layers, {s.bits} bit, on {s.core}/{s.branch_core}"
        for s in workload.stages
    )
    return "[" + "; ".join(stages) + "]"
