"""The chip as an `AcceleratorSpec`: what a search may choose, and what other backends read of it."""

from eenn_diana import parameters as p
from eenn_rl.errors import InvalidValueError
from eenn_rl.hardware import (
    AcceleratorSpec,
    ArrayDimension,
    CoreSpec,
    Dataflow,
    DramSpec,
    LinkSpec,
    MemorySpec,
    Operand,
    PortSpec,
    Precision,
    Traffic,
    Unrolling,
)

DIGITAL, ANALOG, POOLING, SIMD = "digital", "analog", "pooling", "simd"
SOURCE = "Ueyoshi et al., ISSCC 2022; Houshmand et al., JSSC 58(1), 2023; eenn_diana/parameters.py"


def _memory(
    name: str, size_bits: int, width: int, energies: tuple[float, float], operands: tuple[Operand, ...],
    served: tuple[str, ...],
) -> MemorySpec:  # fmt: skip
    """A memory with one port to read and one to write, `width` bits each."""
    reads = tuple(Traffic(operand, "to_low") for operand in operands)
    writes = tuple(Traffic(operand, "from_high") for operand in operands)
    if "output" in operands:
        reads, writes = (*reads, Traffic("output", "to_high")), (*writes, Traffic("output", "from_low"))
    ports = (PortSpec("r", "read", 8, width, reads), PortSpec("w", "write", 8, width, writes))
    return MemorySpec(name, size_bits, *energies, operands, ports, served)


def _register(name: str, bits: int, operand: Operand, served: tuple[str, ...]) -> MemorySpec:
    return _memory(name, bits, bits, (0.0, 0.0), (operand,), served)


def _l1(served: tuple[str, ...]) -> MemorySpec:
    return _memory("l1", p.L1_SIZE_BITS, p.L1_PORT_BITS, (p.L1_READ_J, p.L1_WRITE_J), ("input", "output"), served)


def _digital() -> CoreSpec:
    served = ("D1", "D2")
    weights = _memory(
        "weights", p.DIGITAL_WEIGHT_BITS, p.WEIGHT_PORT_BITS, (p.WEIGHT_READ_J, p.WEIGHT_WRITE_J), ("weight",), served
    )
    registers = (_register("w", 8, "weight", ("D1",)), _register("o", 16, "output", ()))
    return CoreSpec(
        DIGITAL,
        "compute",
        (ArrayDimension("D1", p.DIGITAL_OX), ArrayDimension("D2", p.DIGITAL_K)),
        (*registers, weights, _l1(served)),
        (Precision(p.DIGITAL_BITS, 2 / p.DIGITAL_PEAK_OPS_PER_J),),
        p.CLOCK_HZ,
        (Dataflow((Unrolling("D1", "OX", p.DIGITAL_OX), Unrolling("D2", "K", p.DIGITAL_K))),),
        source=SOURCE,
    )


def _analog() -> CoreSpec:
    served = ("D1", "D2", "D3", "D4")
    cells = _memory(
        "cells",
        p.ROWS * p.COLUMNS * p.CELL_BITS,
        p.ROWS * p.COLUMNS * p.CELL_BITS // (p.CYCLES_PER_ROW * p.ROWS),
        (0.0, p.CELL_WRITE_J * p.COLUMNS / p.CYCLES_PER_ROW),
        ("weight",),
        served,
    )
    return CoreSpec(
        ANALOG,
        "compute",
        (
            ArrayDimension("D1", p.ROWS // 9),
            ArrayDimension("D2", 3),
            ArrayDimension("D3", 3),
            ArrayDimension("D4", p.COLUMNS),
        ),
        (cells, _l1(served)),
        (Precision(p.ANALOG_BITS, 2 / p.ANALOG_PEAK_OPS_PER_J, 1 / (p.ACCESS_S * p.CLOCK_HZ)),),
        p.CLOCK_HZ,
        (
            Dataflow(
                (
                    Unrolling("D1", "C", p.ROWS // 9),
                    Unrolling("D2", "FX", 3),
                    Unrolling("D3", "FY", 3),
                    Unrolling("D4", "K", p.COLUMNS),
                )
            ),
        ),
        source=SOURCE,
    )


def _vector(name: str, kind: str) -> CoreSpec:
    precisions = tuple(Precision(bits, p.VECTOR_OPERATION_J) for bits in (p.ANALOG_BITS, p.DIGITAL_BITS))
    array = (ArrayDimension("D1", p.VECTOR_LANES),)
    if kind == "pooling":
        return CoreSpec(name, "pooling", array, (_l1(("D1",)),), precisions, p.CLOCK_HZ, source=SOURCE)
    return CoreSpec(name, "simd", array, (_l1(("D1",)),), precisions, p.CLOCK_HZ, source=SOURCE)


def diana() -> AcceleratorSpec:
    """DIANA: allocation 0 is the digital core (8 bits), allocation 1 the analog one (ternary weights, called 2 bits).

    The memory that all cores share is the on-chip L2; nothing lies behind it.
    """
    cores = (_digital(), _analog(), _vector(POOLING, "pooling"), _vector(SIMD, "simd"))
    # One shared L1: handing a tensor over to another core costs no transfer of its own.
    links = tuple(
        LinkSpec(a.name, b.name, p.L1_PORT_BITS) for i, a in enumerate(cores) for b in cores[i + 1 :]
    )  # fmt: skip
    return AcceleratorSpec(
        "diana",
        cores,
        links,
        DramSpec(p.L2_PORT_BITS, 8, p.L2_READ_J, p.L2_WRITE_J, p.L2_SIZE_BITS),
        clock_hz=p.CLOCK_HZ,
        resident_weights=True,
        description="DIANA: a 16x16 digital core and a 1152x512 analog in-memory core on a shared L1",
        source=SOURCE,
    )


def allocations_of(accelerator: AcceleratorSpec) -> tuple[str, ...]:
    """For each allocation which of the chip's two cores it is.

    Raises:
        InvalidValueError: `accelerator` is another chip.
    """
    names = tuple(accelerator.allocation_name(index) for index in range(len(accelerator.allocations)))
    bits = tuple(accelerator.allocation_bits(index) for index in range(len(accelerator.allocations)))
    expected = {DIGITAL: (p.DIGITAL_BITS,), ANALOG: (p.ANALOG_BITS,)}
    if not names or any(expected.get(name) != found for name, found in zip(names, bits, strict=True)):
        raise InvalidValueError(
            f"accelerator {accelerator.name!r}: expected the chip 'diana', whose allocations are single cores called "
            f"digital (8 bits) and analog (2 bits), found {', '.join(names) or 'none'}: leave out --accelerator"
        )
    return names
