"""EpisodeCore: the environment's rules over many episodes at once, all state in arrays.

The single environment and the vector ones are faces of this one core, so they agree by construction. It builds
genomes and knows nothing of rewards; whoever holds it evaluates what it finishes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eenn_envs.features import problem_features
from eenn_envs.layout import BITS, BRANCH, BRANCH_CORE, CORE, LOCATION, Layout
from eenn_rl.branches import CLASSIFIER, branch_layers
from eenn_rl.errors import check

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator
    from eenn_rl.space import SearchSpace

Indices = npt.NDArray[np.intp]
INVALID = -1
"""An action that is legal nowhere."""


def whole_actions(actions: Any) -> npt.NDArray[np.integer]:
    """`actions` of any kind as integers, [n]; `INVALID` for what is no whole number, or none of 64 bits.

    Lists of different lengths are no array of actions, and so a single `INVALID`.
    """
    try:
        found = np.asarray(actions)
    except ValueError:
        return np.full(1, INVALID)
    if found.dtype.kind in "iu":
        return found.reshape(-1)
    return np.array([_whole(action) for action in found.reshape(-1).tolist()], np.int64)


def _whole(action: Any) -> int:
    try:
        number = int(action)
    except (TypeError, ValueError, OverflowError):
        return INVALID
    return number if number == action and -(2**63) <= number < 2**63 else INVALID


@dataclass(frozen=True)
class Problem:
    """One evaluator told in a layout: what its episodes look up, as arrays.

    `masks` is bool [rows, actions]: the rows are LOCATION after each number of closed blocks (blocks of them), BRANCH,
    BITS, then CORE and BRANCH CORE for each bit-width.
    """

    evaluator: "Evaluator"
    layout: Layout

    def __post_init__(self) -> None:
        space = self.evaluator.space
        check(self.layout.fits(space), "layout", self.layout, f"one that fits the space over {space.backbone.name!r}")

    @cached_property
    def features(self) -> npt.NDArray[np.float32]:
        """The constant end of an observation."""
        return problem_features(self.evaluator, self.layout)

    @cached_property
    def masks(self) -> npt.NDArray[np.bool_]:
        """Legal actions by row, bool [blocks + 2 + 2 * bits, actions]."""
        layout, pairs = self.layout, self.evaluator.space.legal_pairs
        masks = np.zeros((layout.blocks + 2 + 2 * len(layout.bits), layout.actions), np.bool_)
        for closed in range(layout.blocks):
            masks[closed, closed : layout.blocks] = True
        starts = layout.starts
        masks[layout.blocks, starts[BRANCH] : starts[BITS]] = True
        masks[layout.blocks + 1, starts[BITS] : starts[CORE]] = pairs.any(1)
        for row, start in ((2, starts[CORE]), (2 + len(layout.bits), starts[BRANCH_CORE])):
            here = masks[layout.blocks + row : layout.blocks + row + len(layout.bits)]
            here[:, start : start + pairs.shape[1]] = pairs
        return masks

    @cached_property
    def shares(self) -> npt.NDArray[np.float32]:
        """Each allocation's share of work per compute core, float32 [allocations, cores]."""
        accelerator = self.evaluator.space.accelerator
        shares = np.zeros((self.layout.allocations, self.layout.cores), np.float32)
        for index, group in enumerate(accelerator.allocations):
            for core in group:
                shares[index, accelerator.compute_cores.index(core)] = 1 / len(group)
        return shares

    @cached_property
    def block_macs(self) -> npt.NDArray[np.float32]:
        """Share of the backbone's MACs before each block, and 1 at the end: float32 [blocks + 1]."""
        backbone = self.evaluator.space.backbone
        macs = [sum(layer.macs for layer in block.layers) for block in backbone.blocks]
        shares: npt.NDArray[np.float32] = (np.concatenate([[0], np.cumsum(macs)]) / sum(macs)).astype(np.float32)
        return shares

    @cached_property
    def branch_macs(self) -> npt.NDArray[np.float32]:
        """MACs of each branch at each location over the backbone's, float32 [blocks, branches + 1], classifier last."""
        return _branch_macs(self.evaluator.space)


def _branch_macs(space: "SearchSpace") -> npt.NDArray[np.float32]:
    total = space.backbone.macs
    shares = np.zeros((space.last_location + 1, len(space.branches) + 1), np.float32)
    for location in range(space.last_location):
        for column, branch in enumerate(space.branches):
            shares[location, column] = sum(x.macs for x in branch_layers(space.backbone, location, branch)) / total
    shares[-1, -1] = sum(x.macs for x in branch_layers(space.backbone, space.last_location, CLASSIFIER)) / total
    return shares


class EpisodeCore:
    """`n` episodes side by side; episode i belongs to problem ``problem_of[i]``. All problems share one layout.

    After `reset` and every `step`, `observations` float32 [n, observations] and `masks` bool [n, actions] are those of
    the next decision; both arrays are reused, copy what must last.
    """

    def __init__(self, problems: Sequence[Problem], problem_of: Indices) -> None:
        check(len({problem.layout for problem in problems}) == 1, "problems", len(problems), "of one layout")
        self.layout = layout = problems[0].layout
        self.problems, self.problem_of, self.n = tuple(problems), problem_of, len(problem_of)
        self._mask_table = np.stack([problem.masks for problem in problems])
        self._features = np.stack([problem.features for problem in problems])
        self._shares = np.stack([problem.shares for problem in problems])
        self._block_macs = np.stack([problem.block_macs for problem in problems])
        self._branch_macs = np.stack([problem.branch_macs for problem in problems])
        self._bits_row = {bits: row for row, bits in enumerate(layout.bits)}
        self._slots = min(layout.exits, layout.blocks)
        self.genomes = np.full((self.n, layout.exits, 5), -1, np.int16)
        self.observations = np.zeros((self.n, layout.observations), np.float32)
        self.masks = np.zeros((self.n, layout.actions), np.bool_)
        self._row, self._phase = np.zeros(self.n, np.int64), np.zeros(self.n, np.int64)
        self._mask_row = np.zeros(self.n, np.int64)
        self._closed = np.zeros(self.n, np.int64)
        self.reset(np.arange(self.n))

    def reset(self, which: Indices) -> None:
        """Begin the episodes `which` anew."""
        slices, problem = self.layout.slices, self.problem_of[which]
        self.genomes[which] = -1
        for state in (self._row, self._phase, self._closed):
            state[which] = 0
        self._mask_row[which] = self.layout.blocks - 1 if self._slots == 1 else 0
        self.observations[which] = 0
        self.observations[which, slices["phase"].start] = 1
        self.observations[which, slices["remaining"]] = 1
        self.observations[which, slices["allocations"].start :] = self._features[problem]
        self.masks[which] = self._mask_table[problem, self._mask_row[which]]

    def step(self, which: Indices, actions: npt.NDArray[np.integer]) -> tuple[Indices, Indices]:
        """Take one action in each of the episodes `which`, which must be under way.

        Returns the episodes that it completed and those that it ended by an invalid action. Their observation is that
        of the state they ended in, with no phase and no legal action; they must be reset before their next step.
        """
        inside = (actions >= 0) & (actions < self.layout.actions)
        valid = inside & self.masks[which, np.where(inside, actions, 0)]
        invalid = which[~valid]
        if len(invalid):
            which, actions = which[valid], actions[valid]
            self._end(invalid)
        completed = self._apply(which, actions.astype(np.int64))
        self._end(completed)
        return completed, invalid

    def _end(self, which: Indices) -> None:
        self.observations[which, self.layout.slices["phase"]] = 0
        self.masks[which] = False

    def _apply(self, which: Indices, actions: Indices) -> Indices:
        layout, row, phase = self.layout, self._row[which], self._phase[which]
        value = layout.values[actions]
        self.genomes[which, row, phase] = value
        self.observations[which, layout.slices["exits"].start + row * layout.actions + actions] = 1
        last = self.genomes[which, row, LOCATION] == layout.blocks - 1
        self._place(which, row, phase, value)
        following = np.where((phase == LOCATION) & last, BITS, phase + 1)
        self._mask_row[which] = self._next_mask_row(which, actions, phase, following)
        wrapped = (phase == BRANCH_CORE) & ~last
        self._open_exit(which[wrapped])
        following[wrapped] = LOCATION
        going = (phase != BRANCH_CORE) | wrapped
        self._phase[which] = following
        on = which[going]
        start = layout.slices["phase"].start
        self.observations[on, start + phase[going]] = 0
        self.observations[on, start + following[going]] = 1
        self.masks[on] = self._mask_table[self.problem_of[on], self._mask_row[on]]
        finished: Indices = which[~going]
        return finished

    def _next_mask_row(self, which: Indices, actions: Indices, phase: Indices, following: Indices) -> Indices:
        """BRANCH and BITS have one row each; CORE's depends on the bits just chosen, BRANCH CORE's follows CORE's."""
        layout = self.layout
        chosen = layout.blocks + 2 + actions - layout.starts[BITS]
        later = self._mask_row[which] + len(layout.bits)
        fixed = layout.blocks + following - BRANCH
        return np.where(phase == BITS, chosen, np.where(phase == CORE, later, fixed))

    def _open_exit(self, which: Indices) -> None:
        """Go on to the next exit: only the last block is offered once one slot is left."""
        self._row[which] += 1
        only_last = self._row[which] >= self._slots - 1
        self._mask_row[which] = np.where(only_last, self.layout.blocks - 1, self._closed[which])

    def _place(self, which: Indices, row: Indices, phase: Indices, value: npt.NDArray[np.int16]) -> None:
        """Keep `load` and `remaining` up to date: a stage counts at CORE, its branch at BRANCH CORE."""
        placing = np.flatnonzero(phase >= CORE)
        if not len(placing):
            return
        episodes, rows = which[placing], row[placing]
        location = self.genomes[episodes, rows, LOCATION].astype(np.int64)
        stage = phase[placing] == CORE
        before = self._closed[episodes]
        problem = self.problem_of[episodes]
        branch = self._branch_macs[problem, location, self.genomes[episodes, rows, BRANCH]]
        of_stage = self._block_macs[problem, location + 1] - self._block_macs[problem, before]
        macs = np.where(stage, of_stage, branch)
        share = self._shares[problem, value[placing]]
        slices = self.layout.slices
        load = self.observations[episodes, slices["load"]] + macs[:, None] * share
        self.observations[episodes, slices["load"]] = np.minimum(load, 1)
        done = episodes[~stage]
        closed = location[~stage] + 1
        self._closed[done] = closed
        of_macs = 1 - self._block_macs[problem[~stage], closed]
        remaining = [of_macs, 1 - closed / self.layout.blocks, 1 - (rows[~stage] + 1) / self.layout.exits]
        self.observations[done, slices["remaining"]] = np.clip(np.stack(remaining, 1), 0, 1)
