"""Small changes of an architecture: the neighbourhood that local search descends, and mutations for evolution."""

from collections.abc import Iterator

import numpy as np

from eenn_rl.space import BITS, BRANCH, BRANCH_CORE, CORE, LOCATION, Genomes, SearchSpace


def neighbours(space: SearchSpace, genome: Genomes) -> Genomes:
    """Every legal architecture one move away, each once, [n, max_exits, 5].

    Moves: change one exit's branch, bits, core, branch core, or both cores; every exit's bits or cores at once; move,
    remove or add an exit (a new one takes bits and cores of the exit after it). Bits may change only where the cores
    support them.
    """
    exits = int((genome[:, LOCATION] >= 0).sum())
    found = [*_field_changes(space, genome, exits), *_moved(space, genome, exits), *_added(space, genome, exits)]
    found.extend(_removed(genome, exits))
    stacked = np.stack(found) if found else np.zeros((0, *genome.shape), np.int16)
    stacked = stacked[space.legal(stacked) & (stacked != genome).any((1, 2))]
    _, first = np.unique(stacked.reshape(len(stacked), -1), axis=0, return_index=True)
    kept: Genomes = stacked[np.sort(first)]
    return kept


def _changed(genome: Genomes, rows: int | slice, columns: int | list[int], value: int) -> Genomes:
    copy = genome.copy()
    copy[rows, columns] = value
    return copy


def _field_changes(space: SearchSpace, genome: Genomes, exits: int) -> Iterator[Genomes]:
    allocations = range(len(space.accelerator.allocations))
    for row in range(exits):
        if row < exits - 1:
            yield from (_changed(genome, row, BRANCH, value) for value in range(len(space.branches)))
        yield from (_changed(genome, row, BITS, bits) for bits in space.usable_bits)
        for value in allocations:
            yield _changed(genome, row, CORE, value)
            yield _changed(genome, row, BRANCH_CORE, value)
            yield _changed(genome, row, [CORE, BRANCH_CORE], value)
    if exits > 1:
        yield from (_changed(genome, slice(exits), BITS, bits) for bits in space.usable_bits)
        for value in allocations:
            copy = genome.copy()
            copy[:exits, CORE:] = value
            yield copy


def _moved(space: SearchSpace, genome: Genomes, exits: int) -> Iterator[Genomes]:
    taken = set(genome[:exits, LOCATION].tolist())
    for row in range(exits - 1):
        for location in set(range(space.last_location)) - taken:
            yield _sorted(_changed(genome, row, LOCATION, location), exits)


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
    """`genome` after `moves` random moves."""
    for _ in range(moves):
        options = neighbours(space, genome)
        genome = options[rng.integers(len(options))]
    return genome
