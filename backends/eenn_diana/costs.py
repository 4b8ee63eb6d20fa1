"""What one layer costs on one core of the chip, weights excluded and weights alone."""

from dataclasses import dataclass, field
from math import ceil, prod

from eenn_diana import parameters as p
from eenn_rl.backbone import Layer


@dataclass(frozen=True)
class Cost:
    """Cycles, and energy (J) by place."""

    cycles: float = 0.0
    energy_j: dict[str, float] = field(default_factory=dict)

    @property
    def total_j(self) -> float:
        """Sum over all places."""
        return sum(self.energy_j.values())

    def plus(self, other: "Cost") -> "Cost":
        """Both, one after the other."""
        places = {**self.energy_j}
        for place, joules in other.energy_j.items():
            places[place] = places.get(place, 0.0) + joules
        return Cost(self.cycles + other.cycles, places)


@dataclass(frozen=True)
class Tiling:
    """A layer on the analog array: `unroll` output positions at once, `tiles` loads of at most the whole array.

    `rows` and `columns` are those that the layer uses in all; a tile holds at most 1152 x 512 of them.
    """

    unroll: int
    rows: int
    columns: int

    @property
    def row_tiles(self) -> int:
        """Tiles that share a column: their sums are added up digitally."""
        return ceil(self.rows / p.ROWS)

    @property
    def column_tiles(self) -> int:
        """Tiles side by side."""
        return ceil(self.columns / p.COLUMNS)

    @property
    def cells(self) -> int:
        """Cells that hold the layer's weights, copies included."""
        return self.rows * self.columns


def runs_on_analog(layer: Layer) -> bool:
    """Whether the analog array can run `layer`: it has no groups (as PLiNIO has it)."""
    return layer.kind in ("conv", "linear") and layer.groups == 1


def tiling(layer: Layer, *, unrolled: bool) -> Tiling:
    """`layer` on the array; `unrolled`: as many output positions at once as there is room for copies of its weights.

    Positions share inputs: ox of them read (ox + FX - 1) columns of the input. [PLiNIO, ComputeOxUnroll]
    """
    kernel_y, kernel_x = layer.kernel
    channels = max(p.LEAST_CHANNELS, layer.in_channels)
    unroll = 1
    if unrolled and layer.stride[1] == 1:
        unroll = next(
            ox
            for ox in p.UNROLLINGS
            if ox == 1
            or (
                ox <= layer.out_size[1]
                and ox * layer.out_channels <= p.COLUMNS
                and (ox + kernel_x - 1) * channels * kernel_y <= p.ROWS
            )
        )
    rows = (unroll + kernel_x - 1) * layer.in_channels * kernel_y
    return Tiling(unroll, rows, unroll * layer.out_channels)


def analog_run(layer: Layer, tiles: Tiling) -> Cost:
    """`layer` on the analog core, its weights in place: conversions, cells, activations from and to L1."""
    steps = ceil(layer.out_size[1] / tiles.unroll) * layer.out_size[0]
    cycles = steps * tiles.row_tiles * tiles.column_tiles * p.ACCESS_S * p.CLOCK_HZ
    inputs = steps * tiles.rows * tiles.column_tiles
    outputs = steps * tiles.columns * tiles.row_tiles
    return Cost(
        cycles,
        {
            "dac": inputs * p.DAC_J,
            "adc": outputs * p.ADC_J,
            "cells": steps * tiles.cells * p.CELL_J,
            "l1": _l1(inputs, layer.output_elements),
        },
    )


def analog_load(tiles: Tiling) -> Cost:
    """The weights of a layer from L2 into the cells, row by row."""
    bits = tiles.cells * p.CELL_BITS
    return Cost(
        float(p.CYCLES_PER_ROW * tiles.rows * tiles.column_tiles),
        {"l2": bits / p.L2_PORT_BITS * p.L2_READ_J, "cells": tiles.cells * p.CELL_WRITE_J},
    )


def digital_run(layer: Layer) -> Cost:
    """`layer` on the digital core, its weights in place; cycles as in PLiNIO's `_digital_cycles`."""
    compute = (
        ceil(layer.out_channels / layer.groups / p.DIGITAL_K)
        * layer.in_channels
        * ceil(layer.out_size[1] / p.DIGITAL_OX)
        * layer.out_size[0]
        * prod(layer.kernel)
    )
    moved = prod(layer.out_size) * (layer.in_channels + layer.out_channels) / p.ACTIVATIONS_PER_CYCLE
    return Cost(
        compute + moved,
        {
            "mac": layer.macs * 2 / p.DIGITAL_PEAK_OPS_PER_J,
            "l1": _l1(layer.input_elements, layer.output_elements),
        },
    )


def digital_load(layer: Layer) -> Cost:
    """The weights of a layer from L2 into the digital core's weight memory."""
    words = layer.weight_elements * p.DIGITAL_BITS / p.L2_PORT_BITS
    return Cost(words, {"l2": words * p.L2_READ_J, "weights": words * p.WEIGHT_WRITE_J})


def vector_run(layer: Layer) -> Cost:
    """A pooling or an addition on its own unit."""
    operations = layer.output_elements * (prod(layer.kernel) if layer.kind == "pool" else 1)
    return Cost(
        operations / p.VECTOR_LANES,
        {"mac": operations * p.VECTOR_OPERATION_J, "l1": _l1(layer.input_elements, layer.output_elements)},
    )


def _l1(read: float, written: float) -> float:
    """Energy of activations read from and written to L1."""
    return (read * p.L1_READ_J + written * p.L1_WRITE_J) * p.STORED_BITS / p.L1_PORT_BITS
