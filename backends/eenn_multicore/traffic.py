"""Traffic: what every memory moves in every period of its loops, in the four directions.

All quantities are per row (candidate order). Follows ZigZag's data movement analysis (Mei et al. 2021, section IV): a
level's contents are replaced once per period, a period being the loops kept at or below it.
"""

from dataclasses import dataclass

import numpy as np

from eenn_multicore.hierarchy import FROM_HIGH, FROM_LOW, TO_HIGH, TO_LOW, Hierarchy
from eenn_multicore.mapping import Allocation, Bools, Floats, Ints, Nest, Spread
from eenn_multicore.problem import O


@dataclass
class Movement:
    """One direction at one level: elements and bits each per period, length and number of periods."""

    elements: Floats
    bits: Floats
    period: Floats
    count: Floats
    needed: Floats
    """Average bits per cycle, rounded down."""


@dataclass
class Operand:
    """Movements of one operand, and what its levels hold."""

    movements: dict[tuple[int, int], Movement]
    """By (level, direction)."""
    held_bits: list[Floats]
    """Per level: bits held inside one instance."""
    partial: list[Bools]
    """Per level, and one more: whether what is held there is partial sums (outputs only)."""
    top_relevant: list[Floats]
    """Per level: product of its outermost run of relevant loops."""
    top_irrelevant: list[Floats]
    instances: list[Floats]
    """Per level: instances of the memory in use."""
    outer_elements: Floats
    """Elements that leave the outermost level per period, not rounded."""


def analyse(nest: Nest, hierarchy: Hierarchy, allocation: Allocation, spread: Spread) -> list[Operand | None]:
    """The movements of every operand in use, with loops unrolled as `spread` says."""
    return [
        _operand(nest, hierarchy, op, allocation.held[op], spread) if hierarchy.levels[op] else None for op in range(3)
    ]


def _run(nest: Nest, starts: Ints, low: Ints, high: Ints) -> Floats:
    """Iterations of the run of loops that ends at `high`, not reaching below `low`."""
    begin = np.maximum(starts[high, nest.at], low)
    return np.asarray(nest.iterations[high, nest.at] / nest.iterations[begin, nest.at])


def _operand(nest: Nest, hierarchy: Hierarchy, op: int, held: list[Ints], unrolled: Spread) -> Operand:
    rows, feeds = nest.rows, hierarchy.feeds[op]
    levels = len(hierarchy.levels[op])
    bounds = [np.zeros(rows.count, np.int64), *held]
    inside = [unrolled.inside(feeds, level) for level in range(levels)]
    exact = [np.ones(rows.count), *(nest.elements(op, inside[level], held[level]) for level in range(levels))]
    elements = [np.round(held_elements) for held_elements in exact]
    alone = [np.ones(rows.count)]
    alone += [nest.alone(op, inside[level]) for level in range(levels)]
    spread = [np.round(alone[level + 1] / alone[level]) for level in range(levels)]
    partial = [
        nest.reduces_outside[bounds[level], nest.at] | unrolled.reduces_above(feeds, level) for level in range(levels)
    ]
    partial.append(np.zeros(rows.count, bool))
    first = nest.after_irrelevant[op][0]
    innermost = np.ones(rows.count) if op == O else nest.iterations[first, nest.at]
    cycles = [innermost, *(nest.iterations[position, nest.at] for position in held)]
    counts = [np.floor(nest.total / cycle) for cycle in cycles]
    make = _output_movements if op == O else _input_movements
    return Operand(
        make(rows.bits[op], rows.partial_bits, elements, spread, cycles, counts, partial),
        [
            elements[level + 1] * _width(rows.bits[op], rows.partial_bits, partial[level + 1], op)
            for level in range(levels)
        ],
        partial,
        [_run(nest, nest.relevant_from[op], bounds[level], held[level]) for level in range(levels)],
        [_run(nest, nest.irrelevant_from[op], bounds[level], held[level]) for level in range(levels)],
        [np.round(unrolled.above(feeds, level).prod(axis=0)) for level in range(levels)],
        exact[-2] * alone[-1] / alone[-2],
    )


def _width(bits: Floats, partial_bits: Floats, partial: Bools, op: int) -> Floats:
    return np.where(partial, partial_bits, bits) if op == O else bits


def _input_movements(
    bits: Floats, _partial_bits: Floats, elements: list[Floats], spread: list[Floats], cycles: list[Floats],
    counts: list[Floats], _partial: list[Bools],
) -> dict[tuple[int, int], Movement]:  # fmt: skip
    movements = {}
    for level, wide in enumerate(spread):
        needed = np.floor(elements[level] * bits / cycles[level] * wide)
        movements[level, TO_LOW] = Movement(elements[level] * wide, bits, cycles[level], counts[level], needed)
        if level + 1 < len(spread):
            above = level + 1
            needed = np.floor(elements[above] * bits / cycles[above])
            movements[level, FROM_HIGH] = Movement(elements[above], bits, cycles[above], counts[above], needed)
    return movements


def _output_movements(
    bits: Floats, partial_bits: Floats, elements: list[Floats], spread: list[Floats], cycles: list[Floats],
    counts: list[Floats], partial: list[Bools],
) -> dict[tuple[int, int], Movement]:  # fmt: skip
    """Results go up; where they are still partial they also come back down."""
    movements = {}
    for level, wide in enumerate(spread):
        width = np.where(partial[level], partial_bits, bits)
        needed = np.floor(elements[level] * width / cycles[level] * wide)
        movements[level, FROM_LOW] = Movement(elements[level] * wide, width, cycles[level], counts[level], needed)
        back = partial[level].astype(np.float64)
        movements[level, TO_LOW] = Movement(
            elements[level] * wide * back, width * back, cycles[level] * back, counts[level] * back, needed * back
        )
        if level + 1 < len(spread):
            above = level + 1
            width = np.where(partial[above], partial_bits, bits)
            needed = np.floor(elements[above] * width / cycles[above])
            movements[level, TO_HIGH] = Movement(elements[above], width, cycles[above], counts[above], needed)
            back = partial[above].astype(np.float64)
            movements[level, FROM_HIGH] = Movement(
                elements[above] * back, width * back, cycles[above] * back, counts[above] * back, needed * back
            )
    return movements


def energy_by_memory(hierarchy: Hierarchy, operands: list[Operand | None]) -> tuple[Floats, Floats]:
    """Energy (J) [memories, rows] of all accesses, and bits that pass the outermost memory's ports [rows].

    A port's energy is stated for its full width and is paid in granules of its narrowest access. The bits are those of
    the mean tiles: rounded to elements, two ways to move the same data would seem to differ.
    """
    rows = next(op for op in operands if op).held_bits[0].shape
    energy = np.zeros((len(hierarchy.memories), *rows))
    outer_bits = np.zeros(rows)
    for op, operand in enumerate(operands):
        if operand is None:
            continue
        for (level, direction), movement in operand.movements.items():
            port = hierarchy.port(op, level, direction)
            if port is None:
                continue
            index = hierarchy.levels[op][level]
            granules = np.ceil(movement.elements * movement.bits / port.granule_bits)
            accesses = np.floor(
                granules * (port.granule_bits / port.bandwidth_bits) * movement.count * operand.instances[level]
            )
            memory = hierarchy.memories[index]
            read = direction in (TO_LOW, TO_HIGH)
            energy[index] += accesses * (memory.read_energy_j if read else memory.write_energy_j)
            if index == len(hierarchy.memories) - 1:
                outer_bits += operand.outer_elements * movement.bits * movement.count * operand.instances[level]
    return energy, outer_bits


__all__ = ["FROM_HIGH", "Movement", "Operand", "analyse", "energy_by_memory"]
