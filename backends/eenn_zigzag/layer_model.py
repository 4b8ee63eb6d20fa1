"""The layer model: one layer on one core, asked of ZigZag once and kept."""

from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from math import prod
from typing import Any

from eenn_rl.backbone import Layer
from eenn_rl.errors import BackendError, MissingDependencyError
from eenn_rl.hardware import AcceleratorSpec, CoreSpec, DramSpec, MemorySpec, Operand, PortSpec, Traffic
from eenn_rl.schedule import CoreLayerCost
from eenn_zigzag.cache import AnswerCache
from eenn_zigzag.tool import MOST_TIES, SETTINGS, ToolAnswer, run_zigzag
from eenn_zigzag.tool_input import PICO, core_data, layer_data, mapping_data, precision_of

DRAM = "dram"
Question = dict[str, Any]


def tool_version() -> str:
    """The version of zigzag-dse that is installed.

    Raises:
        MissingDependencyError: none is.
    """
    try:
        return metadata.version("zigzag-dse")
    except metadata.PackageNotFoundError:
        raise MissingDependencyError(
            "expected the package zigzag-dse, found none: pip install 'eenn-rl[zigzag]', or use --backend multicore"
        ) from None


def ask(question: Question) -> ToolAnswer:
    """Have ZigZag answer `question`."""
    try:
        return run_zigzag(question["core"], question["layer"], question["mapping"])
    except Exception as error:
        shape = dict(zip(question["layer"]["loop_dims"], question["layer"]["loop_sizes"], strict=True))
        raise BackendError(f"zigzag-dse failed on a layer of {shape}: {type(error).__name__}: {error}") from error


class ZigZagLayerModel:
    """A `LayerModel` whose layers with MACs are costed by ZigZag.

    Pooling and additions are not: ZigZag skips them in networks that it reads from ONNX. They take one operation per
    unit and cycle or the time of their operands through the core's outermost memory, whichever is longer, and the
    energy of both. Throughput other than one MAC per unit and cycle, and operating points, are not ZigZag's either:
    they scale its compute cycles and its energies.
    """

    def __init__(self, accelerator: AcceleratorSpec, cache: AnswerCache) -> None:
        self.cache = cache
        self._dram, self._version = accelerator.dram, tool_version()

    def cost(self, layer: Layer, core: CoreSpec, bits: int, off_chip: frozenset[Operand]) -> CoreLayerCost:
        """Cost `layer` on `core`; see `eenn_rl.schedule.LayerModel`."""
        levels = _with_dram(core, self._dram, off_chip)
        if not layer.macs:
            return _vector_cost(layer, levels, bits)
        question = self.question(layer, levels, bits)
        answer = self.cache.get(question)
        if answer is None:
            answer = ask(question)
            self.cache.put(question, answer)
        return _cost(answer, levels, bits)

    def question(self, layer: Layer, core: CoreSpec, bits: int) -> Question:
        """All that decides what ZigZag says of `layer` on `core`."""
        return {
            "tool": f"zigzag-dse {self._version}",
            "settings": {**SETTINGS, "most_ties": MOST_TIES},
            "core": core_data(core, bits),
            "layer": layer_data(layer, bits, core.partial_sum_bits),
            "mapping": mapping_data(core, layer),
        }


def _with_dram(core: CoreSpec, dram: DramSpec | None, off_chip: frozenset[Operand]) -> CoreSpec:
    """`core` with the DRAM above its memories, for the operands that stream from there."""
    if dram is None or not off_chip:
        return core
    carries = [Traffic(operand, way) for operand in sorted(off_chip) for way in ("to_low", "from_high")]
    if "output" in off_chip:
        carries += [Traffic("output", "to_high"), Traffic("output", "from_low")]
    port = PortSpec("port", "read_write", dram.granule_bits, dram.bandwidth_bits, tuple(carries))
    memory = MemorySpec(
        DRAM, dram.size_bits, dram.read_energy_j, dram.write_energy_j, tuple(sorted(off_chip)), (port,),
        tuple(dimension.name for dimension in core.array),
    )  # fmt: skip
    return replace(core, memories=(*core.memories, memory))


def _energy_scale(core: CoreSpec) -> float:
    """Dynamic energy goes with the square of the voltage; energies are stated at the first operating point."""
    return (core.points[core.point].voltage_v / core.points[0].voltage_v) ** 2 if core.points else 1.0


def _by_memory(core: CoreSpec, energy_pj: Callable[[int, MemorySpec], float]) -> dict[str, float]:
    """Energy in J by memory, scaled to the operating point; the DRAM has a supply of its own."""
    scale = _energy_scale(core)
    return {
        memory.name: energy_pj(index, memory) * PICO * (1.0 if memory.name == DRAM else scale)
        for index, memory in enumerate(core.memories)
    }


def _cost(answer: ToolAnswer, core: CoreSpec, bits: int) -> CoreLayerCost:
    energy = _by_memory(core, lambda index, _memory: answer.memory_pj.get(f"m{index}", 0.0))
    energy["mac"] = answer.mac_pj * PICO * _energy_scale(core)
    throughput = precision_of(core, bits).throughput
    cycles = answer.cycles - answer.compute_cycles + answer.compute_cycles / throughput
    last = core.memories[-1] if core.memories else None
    dram_bits = 0.0
    if last is not None and last.name == DRAM:
        dram_bits = answer.accesses.get(f"m{len(core.memories) - 1}", 0.0) * last.ports[0].bandwidth_bits
    return CoreLayerCost(cycles, energy, dram_bits)


def _vector_cost(layer: Layer, core: CoreSpec, bits: int) -> CoreLayerCost:
    """A layer without MACs: pooling or addition."""
    operations = layer.output_elements * (prod(layer.kernel) if layer.kind == "pool" else 1)
    moved = {"input": layer.input_elements * bits, "output": layer.output_elements * bits}
    cycles = [operations / core.array_size]
    energy = {"mac": operations * precision_of(core, bits).mac_energy_j * _energy_scale(core)}
    dram_bits = 0.0
    for operand, amount in moved.items():
        memory = next((m for m in reversed(core.memories) if operand in m.operands), None)
        if memory is None or not memory.ports:
            continue
        port = max(memory.ports, key=lambda p: p.bandwidth_bits)
        each = memory.read_energy_j if operand == "input" else memory.write_energy_j
        cycles.append(amount / port.bandwidth_bits)
        scale = 1.0 if memory.name == DRAM else _energy_scale(core)
        energy[memory.name] = energy.get(memory.name, 0.0) + amount / port.bandwidth_bits * each * scale
        dram_bits += amount if memory.name == DRAM else 0.0
    return CoreLayerCost(max(cycles), energy, dram_bits)
