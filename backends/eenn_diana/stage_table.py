"""Stages of a network as rows of numbers: one entry per stage and way of keeping weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from eenn_diana import parameters as p
from eenn_diana.chip import ANALOG
from eenn_diana.costs import (
    Cost,
    analog_load,
    analog_run,
    digital_load,
    digital_run,
    runs_on_analog,
    tiling,
    vector_run,
)
from eenn_rl.backbone import Layer
from eenn_rl.cost import LayerCost
from eenn_rl.workload import Stage


@dataclass(frozen=True)
class Mode:
    """How a network's weights are kept, analog and digital: loaded for every input, or once and for all.

    `unrolled`: analog layers keep copies of their weights, to compute several output positions at once.
    """

    analog_resident: bool
    unrolled: bool
    digital_resident: bool


MODES = tuple(Mode(*choice) for choice in product((True, False), repeat=3) if choice[0] or choice[1])
"""All that make sense: weights that are loaded every time may always be unrolled."""


def run_layer(layer: Layer, core: str, mode: Mode) -> tuple[str, Cost]:
    """The unit that runs `layer` when its stage is on `core`, and the cost there, loading included."""
    if not layer.macs:
        return ("pooling" if layer.kind == "pool" else "simd"), vector_run(layer)
    if core == ANALOG and runs_on_analog(layer):
        tiles = tiling(layer, unrolled=mode.unrolled)
        cost = analog_run(layer, tiles)
        return ANALOG, cost if mode.analog_resident else cost.plus(analog_load(tiles))
    cost = digital_run(layer)
    return "digital", cost if mode.digital_resident else cost.plus(digital_load(layer))


def layer_cost(layer: Layer, core: str, mode: Mode) -> LayerCost:
    """`layer` for a report."""
    unit, cost = run_layer(layer, core, mode)
    peak = {ANALOG: p.ROWS * p.COLUMNS / (p.ACCESS_S * p.CLOCK_HZ), "digital": p.DIGITAL_OX * p.DIGITAL_K}
    utilization = layer.macs / (cost.cycles * peak[unit]) if layer.macs else 0.0
    return LayerCost(
        layer.name, unit, cost.cycles, cost.cycles / p.CLOCK_HZ, cost.total_j, layer.macs, utilization, cost.energy_j
    )


@dataclass(frozen=True)
class StageNumbers:
    """One stage and its branch.

    `energy_j` and `latency_s` have an entry per mode; `cells` are those its analog layers occupy, plain and unrolled;
    `digital_bits` what its digital layers take of the weight memory; `l2_bits` its weights in L2; `l1_bits` the most
    that one of its layers needs of L1.
    """

    energy_j: tuple[float, ...]
    latency_s: tuple[float, ...]
    cells: tuple[int, int]
    digital_bits: int
    l2_bits: int
    l1_bits: int


def stage_numbers(stage: Stage, cores: Sequence[str]) -> StageNumbers:
    """The numbers of `stage`; `cores` names the core of each allocation."""
    placed = [(layer, cores[stage.core]) for layer in stage.layers]
    placed += [(layer, cores[stage.branch_core]) for layer in stage.branch_layers]
    costs = [[run_layer(layer, core, mode)[1] for layer, core in placed] for mode in MODES]
    on_array = [core == ANALOG and runs_on_analog(layer) for layer, core in placed]
    analog = [layer for (layer, _), there in zip(placed, on_array, strict=True) if there]
    digital = [layer for (layer, _), there in zip(placed, on_array, strict=True) if not there]
    digital_bits = sum(layer.weight_elements for layer in digital) * p.DIGITAL_BITS
    return StageNumbers(
        tuple(sum(cost.total_j for cost in row) for row in costs),
        tuple(sum(cost.cycles for cost in row) / p.CLOCK_HZ for row in costs),
        (_cells(analog, unrolled=False), _cells(analog, unrolled=True)),
        digital_bits,
        digital_bits + sum(layer.weight_elements for layer in analog) * p.CELL_BITS,
        max((layer.input_elements + layer.output_elements) * p.STORED_BITS for layer, _ in placed),
    )


def _cells(layers: Sequence[Layer], *, unrolled: bool) -> int:
    return sum(tiling(layer, unrolled=unrolled).cells for layer in layers)


Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Stages as arrays: energy and latency [stages, modes], needs [stages, (plain, unrolled, digital, l2, l1)]."""

    energy_j: Floats
    latency_s: Floats
    needs: Floats


def table_of(numbers: Sequence[StageNumbers]) -> Table:
    """`numbers` as arrays."""
    return Table(
        np.array([n.energy_j for n in numbers]),
        np.array([n.latency_s for n in numbers]),
        np.array([(*n.cells, n.digital_bits, n.l2_bits, n.l1_bits) for n in numbers], np.float64),
    )
