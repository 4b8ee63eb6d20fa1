"""Accelerators and objectives drawn at random: what one policy for many is trained on, and tried on.

An accelerator is put together from the compute cores of the shipped ones; array sizes, clocks, memories, energies,
links, DRAM, bit-widths and groups vary. It is a plausible machine, not a real one.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from eenn_rl.hardware import (
    AcceleratorSpec,
    CoreSpec,
    Dataflow,
    DramSpec,
    LinkSpec,
    MemorySpec,
    load_accelerator,
    shipped_accelerators,
)
from eenn_rl.objective import Objective

MAX_CORES = 5
MAX_ALLOCATIONS = 12
"""What the standard layout of an environment has room for."""


def core_pool(names: Sequence[str] | None = None) -> tuple[CoreSpec, ...]:
    """The compute cores that differ among the accelerators `names` (default: all shipped ones)."""
    specs = [load_accelerator(name) for name in names or shipped_accelerators()]
    cores = {replace(spec.cores[index], name=""): None for spec in specs for index in spec.compute_cores}
    return tuple(cores)


def _factor(rng: np.random.Generator, spread: float) -> float:
    """Log-uniform between 1 / spread and spread."""
    return float(np.exp(rng.uniform(-np.log(spread), np.log(spread))))


def _scaled_memory(memory: MemorySpec, rng: np.random.Generator, energy: float) -> MemorySpec:
    size = max(memory.size_bits, 1)
    if size > 65536:
        size = int(size * 2.0 ** int(rng.integers(-2, 3)))
    return replace(
        memory,
        size_bits=size,
        read_energy_j=memory.read_energy_j * energy,
        write_energy_j=memory.write_energy_j * energy,
    )


def _scaled_array(core: CoreSpec, rng: np.random.Generator) -> CoreSpec:
    """Each array dimension halved, kept or doubled, its unrolling with it where one loop fills it."""
    scale = {dimension.name: 2.0 ** int(rng.integers(-1, 2)) for dimension in core.array}
    flows = []
    for flow in core.dataflows:
        loops = [item.dimension for item in flow.unrolling]
        for item in flow.unrolling:
            full = next(dimension.size for dimension in core.array if dimension.name == item.dimension) == item.size
            if loops.count(item.dimension) > 1 or not full:
                scale[item.dimension] = 1.0
    array = tuple(replace(d, size=max(1, int(d.size * scale[d.name]))) for d in core.array)
    sizes = {dimension.name: dimension.size for dimension in array}
    for flow in core.dataflows:
        unrolling = tuple(
            replace(item, size=sizes[item.dimension]) if scale[item.dimension] != 1 else item for item in flow.unrolling
        )
        flows.append(Dataflow(unrolling, flow.kinds))
    return replace(core, array=array, dataflows=tuple(flows))


def random_core(rng: np.random.Generator, pool: Sequence[CoreSpec], name: str) -> CoreSpec:
    """A core of the pool with another array, clock, memories, energies and bit-widths."""
    core = _scaled_array(pool[int(rng.integers(len(pool)))], rng)
    energy, mac = _factor(rng, 3), _factor(rng, 2)
    precisions = tuple(replace(p, mac_energy_j=p.mac_energy_j * mac) for p in core.precisions)
    if len(precisions) > 1 and rng.random() < 0.25:
        precisions = precisions[-int(rng.integers(1, len(precisions))) :]
    return replace(
        core,
        name=name,
        clock_hz=core.clock_hz * _factor(rng, 2),
        points=(),
        point=0,
        memories=tuple(_scaled_memory(memory, rng, energy) for memory in core.memories),
        precisions=precisions,
    )


def _links(rng: np.random.Generator, names: Sequence[str]) -> tuple[LinkSpec, ...]:
    """A ring with some chords: every core reaches every other."""
    bits, energy = int(2 ** rng.integers(3, 9)), float(rng.choice([0.0, 1e-13, 1e-12]))
    pairs = {tuple(sorted((index, (index + 1) % len(names)))) for index in range(len(names)) if len(names) > 1}
    pairs |= {pair for pair in combinations(range(len(names)), 2) if rng.random() < 0.3}
    return tuple(LinkSpec(names[a], names[b], bits, energy) for a, b in sorted(pairs))


def _allocations(rng: np.random.Generator, cores: int) -> tuple[tuple[int, ...], ...]:
    singles = [(index,) for index in range(cores)]
    groups = [group for size in range(2, cores + 1) for group in combinations(range(cores), size)]
    rng.shuffle(groups)
    chosen = sorted(groups[: rng.integers(0, min(4, len(groups)) + 1)], key=lambda group: (len(group), group))
    return tuple([*singles, *chosen][:MAX_ALLOCATIONS])


def random_accelerator(
    rng: np.random.Generator, pool: Sequence[CoreSpec] | None = None, name: str = "random"
) -> AcceleratorSpec:
    """An accelerator of one to five compute cores drawn from `pool`; at least one core knows 8 bits."""
    pool = pool or core_pool()
    while True:
        count = int(rng.integers(1, MAX_CORES + 1))
        cores = tuple(random_core(rng, pool, f"core{index}") for index in range(count))
        if rng.random() < 0.5:  # half of the machines repeat one core
            cores = tuple(replace(cores[0], name=core.name) for core in cores)
        if any(8 in core.supported_bits for core in cores):
            break
    energy = 1e-12 * 256 * _factor(rng, 4)
    bandwidth = int(2 ** rng.integers(4, 9))
    return AcceleratorSpec(
        name,
        cores,
        _links(rng, [core.name for core in cores]),
        DramSpec(bandwidth, min(64, bandwidth), energy, energy),
        _allocations(rng, count),
        resident_weights=bool(rng.random() < 0.5),
        source="drawn at random by eenn_rl.randomised",
    )


TOLERANCES = (0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05)
"""Accuracy tolerances of random objectives: few, so that problems share the thresholds that were tuned for them."""


def random_objective(rng: np.random.Generator, base: Objective) -> Objective:
    """`base` as it is, or, half of the time, with another accuracy tolerance and overhead bound (2 to 30%)."""
    if rng.random() < 0.5:
        return base
    return replace(base, accuracy_tolerance=float(rng.choice(TOLERANCES)), overhead=float(rng.uniform(0.02, 0.3)))
