"""Small changes of an architecture: the neighbourhood that local search descends, and mutations for evolution."""

from collections.abc import Iterator
from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

from eenn_rl.space import BITS, BRANCH, BRANCH_CORE, CORE, LOCATION, Genomes, SearchSpace


def neighbours(space: SearchSpace, genome: Genomes) -> Genomes:
    """Every legal architecture one move away, each once, [n, max_exits, 5].

    Moves: change one exit's branch, bits, core, branch core, or both cores; every exit's bits or cores at once; move,
    remove or add an exit (a new one takes bits and cores of the exit after it). Where the allocations of some bits are
    none of the others', bits and both cores change together, too: alone, neither could. So any architecture can be
    reached from any other.
    """
    exits = int((genome[:, LOCATION] >= 0).sum())
    changed, values = _field_changes(exits, space.max_exits, len(space.branches), *_placements(space))
    moved = [*_moved(space, genome, exits), *_added(space, genome, exits), *_removed(genome, exits)]
    found = np.concatenate([np.where(changed, values, genome), *(other[np.newaxis] for other in moved)])
    found = found[space.legal(found) & (found != genome).any((1, 2))]
    kept: Genomes = found[np.sort(distinct(found))]
    return kept


def distinct(genomes: Genomes) -> npt.NDArray[np.intp]:
    """Where each different one of `genomes` [n, ...] comes first; in the order of their numbers, row by row."""
    flat = genomes.astype(np.int16, copy=False).reshape(len(genomes), prod(genomes.shape[1:]))
    # As strings of bytes that sort as the numbers do: several times faster than `np.unique` of rows.
    keys = (flat.view(np.uint16) ^ np.uint16(0x8000)).astype(">u2", order="C")
    _, first = np.unique(keys.view(f"S{2 * flat.shape[1]}")[:, 0], return_index=True)
    return first


Pairs = tuple[tuple[int, int], ...]


def _placements(space: SearchSpace) -> tuple[tuple[int, ...], int, Pairs]:
    """Bits, the number of allocations, and the pairs of both that must be able to change together; mostly none."""
    pairs = () if _reaches_all(space.legal_pairs) else tuple(
        (bits, allocation)
        for bits, row in zip(space.bits, space.legal_pairs, strict=True)
        for allocation in np.flatnonzero(row).tolist()
    )  # fmt: skip
    return space.usable_bits, len(space.accelerator.allocations), pairs


def _reaches_all(legal: npt.NDArray[np.bool_]) -> bool:
    """Whether steps along a row or a column of `legal` [bits, allocations] lead from any true entry to any other."""
    usable = legal[legal.any(axis=1)]
    reached = usable[:1].any(axis=0)
    for _ in usable:
        reached = usable[(usable & reached).any(axis=1)].any(axis=0)
    return bool(((usable & reached).any(axis=1)).all())


@lru_cache
def _field_changes(
    exits: int, rows: int, branches: int, bits: tuple[int, ...], allocations: int, pairs: Pairs
) -> tuple[npt.NDArray[np.bool_], Genomes]:
    """The moves that set fields of a genome with so many exits: which fields, [moves, rows, 5], and to what."""
    moves: list[tuple[int | slice, int | slice | list[int], int | tuple[int, ...]]] = []
    for row in range(exits):
        if row < exits - 1:
            moves += [(row, BRANCH, value) for value in range(branches)]
        moves += [(row, BITS, value) for value in bits]
        for value in range(allocations):
            moves += [(row, CORE, value), (row, BRANCH_CORE, value), (row, [CORE, BRANCH_CORE], value)]
        moves += [(row, slice(BITS, None), (width, value, value)) for width, value in pairs]
    if exits > 1:
        every = slice(exits)
        moves += [(every, BITS, value) for value in bits]
        moves += [(every, slice(CORE, None), value) for value in range(allocations)]
        moves += [(every, slice(BITS, None), (width, value, value)) for width, value in pairs]
    changed, values = np.zeros((len(moves), rows, 5), np.bool_), np.zeros((len(moves), rows, 5), np.int16)
    for number, (row_, columns, set_to) in enumerate(moves):
        changed[number, row_, columns] = True
        values[number, row_, columns] = set_to
    return changed, values


def _moved(space: SearchSpace, genome: Genomes, exits: int) -> Iterator[Genomes]:
    taken = set(genome[:exits, LOCATION].tolist())
    for row in range(exits - 1):
        for location in set(range(space.last_location)) - taken:
            copy = genome.copy()
            copy[row, LOCATION] = location
            yield _sorted(copy, exits)


def _sorted(genome: Genomes, exits: int) -> Genomes:
    genome[:exits] = genome[np.argsort(genome[:exits, LOCATION], kind="stable")]
    return genome


def _added(space: SearchSpace, genome: Genomes, exits: int) -> Iterator[Genomes]:
    if exits >= space.exit_slots:
        return
    taken = set(genome[:exits, LOCATION].tolist())
    for location in sorted(set(range(space.last_location)) - taken):
        after = int((genome[:exits, LOCATION] < location).sum())
        for branch in range(len(space.branches)):
            copy = genome.copy()
            copy[after + 1 :] = genome[after:-1]
            copy[after] = (location, branch, *genome[after, BITS:])
            yield copy


def _removed(genome: Genomes, exits: int) -> Iterator[Genomes]:
    for row in range(exits - 1):
        copy = genome.copy()
        copy[row:-1] = genome[row + 1 :]
        copy[-1] = -1
        yield copy


def mutate(space: SearchSpace, rng: np.random.Generator, genome: Genomes, moves: int) -> Genomes:
    """`genome` after `moves` random moves; fewer where there are none."""
    for _ in range(moves):
        options = neighbours(space, genome)
        if not len(options):
            break
        genome = options[rng.integers(len(options))]
    return genome
