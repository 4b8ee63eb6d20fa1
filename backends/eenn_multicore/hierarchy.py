"""Hierarchy: a core's memories as levels per operand, and what each array dimension feeds."""

from dataclasses import dataclass

from eenn_multicore.problem import OPERANDS
from eenn_rl.hardware import CoreSpec, MemorySpec, PortSpec

DIRECTIONS = ("from_high", "to_low", "from_low", "to_high")
FROM_HIGH, TO_LOW, FROM_LOW, TO_HIGH = range(4)


@dataclass(frozen=True)
class Activity:
    """One movement a port carries: operand, level of the operand, direction."""

    operand: int
    level: int
    direction: int


@dataclass(frozen=True)
class Port:
    """A port and the movements it carries."""

    spec: PortSpec
    carries: tuple[Activity, ...]
    shared_by_inputs: bool


@dataclass(frozen=True)
class Hierarchy:
    """The memories that serve the operands in use, innermost first.

    `levels[operand]` are indices into `memories`; `feeds[operand][dimension]` is the level whose instances spread
    that array dimension, counted from 0 (inside the innermost memory) to the number of levels (above the outermost).
    """

    memories: tuple[MemorySpec, ...]
    levels: tuple[tuple[int, ...], ...]
    feeds: tuple[tuple[int, ...], ...]
    ports: tuple[tuple[Port, ...], ...]
    below_dram: bool
    """Whether the outermost memory is the accelerator's DRAM."""

    def level_of(self, operand: int, memory: int) -> int | None:
        """The level of `operand` that `memory` is; None where it does not serve it."""
        return self.levels[operand].index(memory) if memory in self.levels[operand] else None

    def port(self, operand: int, level: int, direction: int) -> PortSpec | None:
        """The port that carries a movement."""
        for port in self.ports[self.levels[operand][level]]:
            if Activity(operand, level, direction) in port.carries:
                return port.spec
        return None


def hierarchy_of(core: CoreSpec, memories: tuple[MemorySpec, ...], in_use: tuple[bool, bool, bool]) -> Hierarchy:
    """The levels of `memories` around the array of `core`, for the operands `in_use`; one more than its own is DRAM."""
    kept = tuple(m for m in memories if any(used and OPERANDS[op] in m.operands for op, used in enumerate(in_use)))
    levels = tuple(
        tuple(i for i, m in enumerate(kept) if OPERANDS[op] in m.operands) if used else ()
        for op, used in enumerate(in_use)
    )
    feeds = tuple(
        tuple(_first_serving(kept, levels[op], dimension.name) for dimension in core.array) for op in range(3)
    )
    ports = tuple(_ports(memory, index, levels) for index, memory in enumerate(kept))
    below_dram = len(memories) > len(core.memories) and kept[-1] is memories[-1]
    return Hierarchy(kept, levels, feeds, ports, below_dram)


def _first_serving(memories: tuple[MemorySpec, ...], levels: tuple[int, ...], dimension: str) -> int:
    for level, memory in enumerate(levels):
        if dimension in memories[memory].served:
            return level
    return len(levels)


def _ports(memory: MemorySpec, index: int, levels: tuple[tuple[int, ...], ...]) -> tuple[Port, ...]:
    ports = []
    for spec in memory.ports:
        carries = tuple(
            Activity(operand, levels[operand].index(index), DIRECTIONS.index(traffic.direction))
            for operand in (OPERANDS.index(name) for name in memory.operands)
            for traffic in spec.carries
            if traffic.operand == OPERANDS[operand]
            and index in levels[operand]
            and OPERANDS[operand] in memory.operands
        )
        inputs = {traffic.operand for traffic in spec.carries} & {"weight", "input"}
        if carries:
            ports.append(Port(spec, carries, len(inputs) > 1))
    return tuple(ports)
