"""A genome, finished or not, as text."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from eenn_rl.space import SearchSpace


def describe(space: SearchSpace, genome: npt.NDArray[np.int16]) -> str:
    """One line per exit of `genome` [max_exits, 5]; what is not decided yet is a question mark."""
    lines = [f"{space.backbone.name} on {space.accelerator.name}, one of {space.size:,} architectures"]
    for number, row in enumerate(genome[genome[:, 0] >= 0], start=1):
        location, branch, bits, core, branch_core = (int(value) for value in row)
        last = location == space.last_location
        kind = "classifier" if last else _or_unknown(branch, lambda index: space.branches[index])
        width = _or_unknown(bits, str)
        where, branch_where = (_or_unknown(x, space.accelerator.allocation_name) for x in (core, branch_core))
        block = space.backbone.blocks[location].name
        lines.append(f"exit {number} after {block}: {kind}, {width} bits, stage on {where}, branch on {branch_where}")
    return "\n".join(lines)


def _or_unknown(value: int, name: Callable[[int], str]) -> str:
    return "?" if value < 0 else name(value)
