"""Every number of the DIANA model, with its source.

- [JSSC] Houshmand et al., "DIANA: An End-to-End Hybrid DIgital and ANAlog Neural Network SoC for the Edge", IEEE JSSC
  58(1), 2023, and its first report, Ueyoshi et al., ISSCC 2022.
- [SSCM] the chip's diagram in IEEE Solid-State Circuits Magazine, fall 2022, p. 25.
- [PLiNIO] `plinio/cost/diana_latency.py` of the PLiNIO library (eml-eda, Politecnico di Torino): cycles of both cores.
- [Stream] `stream/inputs/validation/diana` of the Stream framework (KU Leuven), which was validated against the chip:
  sizes, port widths and access energies of its memories.
- [ZigZag-IMC] `imc_array.py` and `imc_unit.py` of zigzag-dse 3.9.1: converter and bitline energies at 0.9 V, 28 nm.
"""

CLOCK_HZ = 260e6
"""[PLiNIO]"""

# Digital core.
DIGITAL_OX, DIGITAL_K = 16, 16
"""Array: output positions along a row, and output channels. [SSCM, Stream]"""
DIGITAL_PEAK_OPS_PER_J = 14e12
"""Of the whole core, a MAC being two operations, 8 bits throughout. [JSSC]"""
DIGITAL_BITS = 8
DIGITAL_WEIGHT_BITS = 64 * 1024 * 8
"""Its weight memory. [Stream]"""
ACTIVATIONS_PER_CYCLE = 8
"""Loaded from or stored to L1, not hidden behind the arithmetic. [PLiNIO]"""

# Analog in-memory core.
ROWS, COLUMNS = 1152, 512
"""Cells: inputs, outputs; one ternary weight each. [JSSC]"""
ANALOG_BITS = 2
"""What ternary weights are called in a search."""
CELL_BITS = 2
"""Bits that store a ternary weight: 144 kB of cells hold 1152 x 512. [JSSC]"""
INPUT_BITS, OUTPUT_BITS = 7, 6
"""[JSSC]"""
ANALOG_PEAK_OPS_PER_J = 600e12
"""With every cell at work, converters included. [JSSC]"""
ACCESS_S = 70e-9
"""One matrix-vector product, all rows and columns at once. [PLiNIO] It equals 1152 inputs through L1's 512-bit port."""
CYCLES_PER_ROW = 8
"""To write a row of weights. [PLiNIO]"""
UNROLLINGS = (8, 4, 2, 1)
"""Output positions along a row computed at once, from copies of the weights. [PLiNIO]"""
LEAST_CHANNELS = 64
"""Rows are granted to at least so many input channels where positions are computed at once. [PLiNIO]"""

SUPPLY_V = 0.9
ADC_J = (100e-15 * OUTPUT_BITS + 0.001e-15 * 4**OUTPUT_BITS) * SUPPLY_V**2
"""A column's conversion. [ZigZag-IMC]"""
DAC_J = 50e-15 * INPUT_BITS * SUPPLY_V**2
"""A row's conversion. [ZigZag-IMC]"""
CELL_J = (2 * ROWS * COLUMNS / ANALOG_PEAK_OPS_PER_J - ROWS * DAC_J - COLUMNS * ADC_J) / (ROWS * COLUMNS)
"""A cell at work: what is left of the published peak once all converters are paid."""
CELL_WRITE_J = 0.35e-15 * ROWS * SUPPLY_V**2 * CELL_BITS
"""Writing one cell: its bitlines, charged over all rows. [ZigZag-IMC]"""

# Memories; energies in J for the whole width of a port.
STORED_BITS = 8
"""An activation in L1, whichever core it is for. [Stream]"""
L1_SIZE_BITS = 256 * 1024 * 8
L1_PORT_BITS, L1_READ_J, L1_WRITE_J = 512, 33.2 * 8 * 1e-12, 38.5 * 8 * 1e-12
L2_SIZE_BITS = 512 * 1024 * 8
L2_PORT_BITS, L2_READ_J, L2_WRITE_J = 128, 100e-12, 110e-12
WEIGHT_PORT_BITS, WEIGHT_READ_J, WEIGHT_WRITE_J = 128, 50e-12, 55e-12
"""[JSSC] for the sizes of L1 and L2, [Stream] for the rest."""

# Pooling and element-wise layers.
VECTOR_LANES = 64
VECTOR_OPERATION_J = 0.1e-12
"""The pooling and SIMD units. [Stream]"""
