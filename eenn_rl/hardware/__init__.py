"""The hardware a network is designed for, and the files that describe it.

Units: sizes in bits, energies in J, clocks in Hz, bandwidths in bits per cycle: of a core's memories in cycles of its
own clock, of links and DRAM in cycles of the accelerator's. The memory model is ZigZag's (Mei et al. 2021): a memory is
a level of one core, serves some operands through ports, and is replicated along every array dimension that it does not
list in `served`.
"""

from eenn_rl.hardware.accelerator import AcceleratorSpec, LinkSpec
from eenn_rl.hardware.core import (
    LOOPS,
    ArrayDimension,
    CoreSpec,
    Dataflow,
    OperatingPoint,
    Precision,
    Unrolling,
)
from eenn_rl.hardware.files import load_accelerator, shipped_accelerators
from eenn_rl.hardware.memory import OPERANDS, Direction, DramSpec, MemorySpec, Operand, PortSpec, Traffic

DEFAULT_ACCELERATOR = "quad_edge_tpu"

__all__ = [
    "DEFAULT_ACCELERATOR",
    "LOOPS",
    "OPERANDS",
    "AcceleratorSpec",
    "ArrayDimension",
    "CoreSpec",
    "Dataflow",
    "Direction",
    "DramSpec",
    "LinkSpec",
    "MemorySpec",
    "Operand",
    "OperatingPoint",
    "PortSpec",
    "Precision",
    "Traffic",
    "Unrolling",
    "load_accelerator",
    "shipped_accelerators",
]
