"""Numbers of segments and of the movements between them, by small integer ids: what the batch path gathers.

An id is given out once all that belongs to it is in place: a layer model that raises, or a search's time limit that
interrupts it, leaves no row half filled behind.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.backbone import Layer
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.schedule.placer import REMEMBERED
from eenn_rl.schedule.segment import Cost, Need, Segment, Tensor
from eenn_rl.schedule.topology import DRAM
from eenn_rl.schedule.walker import Walker
from eenn_rl.workload import IMAGE_BITS, Stage

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Column:
    """A growing array."""

    def __init__(self, dtype: Any, width: tuple[int, ...] = ()) -> None:
        self._data = np.zeros((16, *width), dtype)
        self.size = 0

    def put(self, row: int, value: Any) -> None:
        """Write `row`: the next one, or one that is there already."""
        if row == len(self._data):
            self._data = np.concatenate([self._data, np.zeros_like(self._data)])
        self._data[row] = value
        self.size = max(self.size, row + 1)

    @property
    def values(self) -> npt.NDArray[Any]:
        """All rows so far."""
        return self._data[: self.size]


class SegmentTable:
    """Segments by id; row 2i are the costs with streamed weights, 2i+1 with resident ones."""

    def __init__(self, accelerator: AcceleratorSpec, walker: Walker) -> None:
        self.walker = walker
        self._ids: dict[tuple[tuple[int, ...], int, int], int] = {}
        self.segments: list[tuple[Segment, Segment]] = []
        self.energy_j, self.latency_s, self.dram_s = (Column(np.float64, (2,)) for _ in range(3))
        self.need, self.exit = Column(np.int64), Column(np.int64)
        self.weights, self.peak = (Column(np.float64, (len(accelerator.cores),)) for _ in range(2))
        self.mask, self.alone = Column(np.int64), Column(np.bool_)
        self.heaviest = 0.0
        """Bits of weights of the segment that has most."""
        self.entries: list[Tensor | None] = [None]
        self.needs: list[tuple[Need, ...]] = []
        self._entry_ids: dict[Tensor | None, int] = {None: 0}
        self._need_ids: dict[tuple[Need, ...], int] = {}

    def id_of(self, layers: tuple[Layer, ...], bits: int, allocation: int) -> int:
        """The id of a segment, walked when first met."""
        key = (tuple(self.walker.placer.number(layer) for layer in layers), bits, allocation)
        if key not in self._ids:
            streamed = resident = self.walker.walk(layers, bits, allocation)
            if self.walker.accelerator.resident_weights:
                resident = self.walker.walk(layers, bits, allocation, resident=True)
            self._ids[key] = self._add(streamed, resident)
        return self._ids[key]

    def _add(self, streamed: Segment, resident: Segment) -> int:
        new = len(self.segments)
        self.energy_j.put(new, (streamed.energy_j, resident.energy_j))
        self.latency_s.put(new, (streamed.latency_s, resident.latency_s))
        self.dram_s.put(new, (streamed.dram_s, resident.dram_s))
        for column, amounts in ((self.weights, streamed.weight_bits), (self.peak, streamed.peak_bits)):
            row = np.zeros(column.values.shape[1])
            for core, bits in amounts:
                row[core] = bits
            column.put(new, row)
        self.heaviest = max(self.heaviest, sum(bits for _, bits in streamed.weight_bits))
        self.alone.put(new, not streamed.violations)
        self.mask.put(new, sum(1 << core for core in streamed.cores))
        self.exit.put(new, self.entry_id(streamed.exit))
        if streamed.needs not in self._need_ids:
            self.needs.append(streamed.needs)
            self._need_ids[streamed.needs] = len(self.needs) - 1
        self.need.put(new, self._need_ids[streamed.needs])
        self.segments.append((streamed, resident))
        return new

    def entry_id(self, tensor: Tensor) -> int:
        """The id of a tensor that segments start from."""
        if tensor not in self._entry_ids:
            self.entries.append(tensor)
            self._entry_ids[tensor] = len(self.entries) - 1
        return self._entry_ids[tensor]


class MovementTable:
    """Costs of bringing entry tensors to the cores that need them: [need, entry], filled when first met."""

    def __init__(self, segments: SegmentTable, walker: Walker) -> None:
        self.segments, self.walker = segments, walker
        self._shape = (0, 0)
        self.energy_j = self.latency_s = self.dram_s = np.zeros((0, 0))
        self._known = np.zeros((0, 0), bool)

    def fill(self, need: Ints, entry: Ints) -> None:
        """Make sure that every pair of `need` and `entry` is in the table."""
        self._grow(len(self.segments.needs), len(self.segments.entries))
        missing = ~self._known[need, entry]
        if missing.any():
            for pair in set(zip(need[missing].tolist(), entry[missing].tolist(), strict=True)):
                cost = self.cost(*pair)
                self.energy_j[pair] = sum(cost.energy.values())
                self.latency_s[pair], self.dram_s[pair], self._known[pair] = cost.latency_s, cost.dram_s, True

    def cost(self, need: int, entry: int) -> Cost:
        """One pair's movement, broken down."""
        total = Cost()
        tensor = self.segments.entries[entry]
        for one in self.segments.needs[need]:
            if tensor is not None:
                total.move(self.walker.mover.move(tensor.bits, tensor.location, one.cores, whole=one.whole))
        return total

    def _grow(self, rows: int, columns: int) -> None:
        have = self._known.shape
        if rows <= have[0] and columns <= have[1]:
            return
        shape = (max(2 * have[0], rows), max(2 * have[1], columns))

        def larger(old: npt.NDArray[Any]) -> npt.NDArray[Any]:
            new = np.zeros(shape, old.dtype)
            new[: have[0], : have[1]] = old
            return new

        self.energy_j, self.latency_s, self.dram_s = map(larger, (self.energy_j, self.latency_s, self.dram_s))
        self._known = larger(self._known)


class StageTable:
    """Stages by id: their body's and branch's segments."""

    def __init__(self, segments: SegmentTable) -> None:
        self.segments = segments
        self._ids: dict[tuple[object, ...], int] = {}
        self._known: dict[int, tuple[Stage, int]] = {}
        self.stages: list[Stage] = []
        self.body, self.branch, self.entry = Column(np.int64), Column(np.int64), Column(np.int64)

    def ids_of(self, stages: Sequence[Stage]) -> Ints:
        """The ids of `stages`, looked up by identity first: hashing a stage's layers is slow."""
        known = self._known
        if len(known) > REMEMBERED:
            known.clear()
        new = [stage for stage in stages if id(stage) not in known]
        if new:
            self.segments.walker.placer.prepare(new)
        result = np.empty(len(stages), np.int64)
        for place, stage in enumerate(stages):
            entry = known.get(id(stage))
            if entry is None:
                entry = (stage, self._id_of(stage))
                known[id(stage)] = entry
            result[place] = entry[1]
        return result

    def _id_of(self, stage: Stage) -> int:
        number = self.segments.walker.placer.number
        layers = tuple(number(layer) for layer in stage.layers), tuple(number(layer) for layer in stage.branch_layers)
        key = (*layers, stage.bits, stage.core, stage.branch_core)
        if key not in self._ids:
            new = len(self.stages)
            self.body.put(new, self.segments.id_of(stage.layers, stage.bits, stage.core))
            self.branch.put(new, self.segments.id_of(stage.branch_layers, stage.bits, stage.branch_core))
            entry = Tensor(DRAM, float(stage.layers[0].input_elements * IMAGE_BITS))
            self.entry.put(new, self.segments.entry_id(entry))
            self.stages.append(stage)
            self._ids[key] = new
        return self._ids[key]
