"""The layer model: one layer on one core, asked of ZigZag once and kept."""

import json
import logging
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib import metadata
from typing import Any

from eenn_rl.errors import BackendError, not_installed
from eenn_rl.hardware import AcceleratorSpec, CoreSpec, DramSpec, MemorySpec, Operand, PortSpec, Traffic
from eenn_rl.schedule import CoreLayerCost, LayerRequest, precision_for
from eenn_zigzag.cache import AnswerCache
from eenn_zigzag.tool import MOST_TIES, ROUGH_SETTINGS, SETTINGS, NoRoomError, ToolAnswer, run_zigzag
from eenn_zigzag.tool_input import PICO, core_data, layer_data, mapping_data, with_room

DRAM = "dram"
FORMAT = 1
"""Rises when questions are put, or answers read, in another way."""
_LOG = logging.getLogger("eenn_zigzag")
Question = dict[str, Any]


def tool_version() -> str:
    """The version of zigzag-dse that is installed.

    Raises:
        MissingDependencyError: none is.
    """
    try:
        return metadata.version("zigzag-dse")
    except metadata.PackageNotFoundError:
        otherwise = ", or use --backend multicore"
        raise not_installed("backend zigzag needs the package zigzag-dse", "zigzag", otherwise) from None


def ask(question: Question) -> ToolAnswer:
    """Have ZigZag answer `question`; a layer that does not fit is costed, roughly, with larger outermost memories.

    Raises:
        BackendError: ZigZag fails in another way.
    """
    core, layer, mapping = question["core"], question["layer"], question["mapping"]
    try:
        try:
            return run_zigzag(core, layer, mapping)
        except NoRoomError:
            return replace(run_zigzag(with_room(core), layer, mapping, ROUGH_SETTINGS), fits=False)
    except Exception as error:
        shape = dict(zip(layer["loop_dims"], layer["loop_sizes"], strict=True))
        raise BackendError(f"zigzag-dse failed on a layer of {shape}: {type(error).__name__}: {error}") from error


def _answers(questions: Sequence[Question], workers: int) -> Iterator[ToolAnswer]:
    """ZigZag's answers in order, as they come."""
    if workers <= 1 or len(questions) <= 1 or multiprocessing.current_process().daemon:
        yield from map(ask, questions)
        return
    # spawn: a forked child would inherit locks of the caller's threads in whatever state they are.
    pool = ProcessPoolExecutor(min(workers, len(questions)), mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(ask, questions)
    finally:
        pool.shutdown(cancel_futures=True)


class ZigZagLayerModel:
    """A `LayerModel` whose layers are costed by ZigZag.

    Throughput other than one MAC per unit and cycle is not ZigZag's: it scales its compute cycles. How many cores share
    the DRAM does not change the mapping that is asked for.
    """

    def __init__(self, accelerator: AcceleratorSpec, cache: AnswerCache, workers: int = 1) -> None:
        self.cache, self.workers = cache, workers
        self._accelerator, self._version = accelerator, tool_version()

    def cost(self, request: LayerRequest) -> CoreLayerCost:
        """Cost one layer on one core; see `eenn_rl.schedule.LayerModel`."""
        core = self._levels(request)
        question = self.question(request)
        answer = self.cache.get(question)
        if answer is None:
            answer = ask(question)
            self.cache.put(question, answer)
        return _cost(answer, core, request.bits)

    def prepare(self, requests: Iterable[LayerRequest]) -> None:
        """Have ZigZag answer all that is not in the cache yet, in `workers` processes; what is answered, stays."""
        questions = {}
        for request in requests:
            question = self.question(request)
            if self.cache.get(question) is None:
                questions[json.dumps(question)] = question
        missing = list(questions.values())
        for done, (question, answer) in enumerate(zip(missing, _answers(missing, self.workers), strict=True), start=1):
            self.cache.put(question, answer)
            _LOG.info("zigzag-dse answered %d of %d", done, len(missing))

    def question(self, request: LayerRequest) -> Question:
        """All that decides what ZigZag says."""
        core = self._levels(request)
        return {
            "format": FORMAT,
            "tool": f"zigzag-dse {self._version}",
            "settings": {**SETTINGS, "most_ties": MOST_TIES, "without_room": dict(ROUGH_SETTINGS)},
            "core": core_data(core, request.bits, request.layer.kind),
            "layer": layer_data(request.layer, request.bits, core.partial_sum_bits),
            "mapping": mapping_data(core, request.layer),
        }

    def _levels(self, request: LayerRequest) -> CoreSpec:
        """The core, with the DRAM above its memories for what streams from there."""
        dram, ratio = self._accelerator.dram, self._accelerator.clock_hz / request.core.clock_hz
        return _with_dram(request.core, dram and dram.seen_from(ratio), request.off_chip)


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


def _cost(answer: ToolAnswer, core: CoreSpec, bits: int) -> CoreLayerCost:
    """What the tool says, in J; the core's energies, which it was asked with, are those of its operating point."""
    energy = {memory.name: answer.memory_pj.get(f"m{index}", 0.0) * PICO for index, memory in enumerate(core.memories)}
    energy["mac"] = answer.mac_pj * PICO
    throughput = precision_for(core, bits).throughput
    cycles = answer.cycles - answer.compute_cycles + answer.compute_cycles / throughput
    moved = {"I": 0.0}
    if core.memories and core.memories[-1].name == DRAM:
        width = core.memories[-1].ports[0].bandwidth_bits
        moved |= {o: n * width for o, n in answer.accesses.get(f"m{len(core.memories) - 1}", {}).items()}
    dram_bits = sum(moved.values())
    demand = (moved["I"] / cycles, (dram_bits - moved["I"]) / cycles)
    return CoreLayerCost(cycles, energy, dram_bits, demand, answer.fits)
