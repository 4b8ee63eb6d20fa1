"""Numbers and architectures in words, the same everywhere in a report."""

from collections.abc import Sequence
from typing import Any

from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.report.network import allocation_name

MINUS = "\u2212"


def percent(share: float, digits: int = 1) -> str:
    """A share in percent."""
    return f"{100 * share:.{digits}f}%".replace("-", MINUS)


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * difference:+.2f}".replace("-", MINUS)


def percents(shares: Sequence[float]) -> str:
    """Shares of several exits."""
    return " / ".join(f"{100 * share:.1f}" for share in shares) + "\u00a0%"


def energy(value: float) -> str:
    """An energy in uJ."""
    return f"{value * 1e6:.4g}\u00a0\u00b5J"


def latency(value: float) -> str:
    """A time in us."""
    return f"{value * 1e6:.4g}\u00a0\u00b5s"


def elp(value: float) -> str:
    """An energy-latency product in nJ s."""
    return f"{value * 1e9:.4g}\u00a0nJ\u202fs"


def genome_text(
    genome: Sequence[Sequence[int]], blocks: Sequence[str], branches: Sequence[str], cores: Sequence[str]
) -> str:
    """A logged architecture in one line."""
    parts = []
    for location, branch, bits, core, branch_core in genome:
        if location >= 0:
            kind = branches[branch] if branch >= 0 else "classifier"
            parts.append(f"{blocks[location]}: {kind} {bits} bit on {cores[core]} / {cores[branch_core]}")
    return "; ".join(parts)


def names_of(meta_backbone: dict[str, Any], accelerator: AcceleratorSpec) -> tuple[list[str], list[str]]:
    """Names of the blocks and of the allocations."""
    blocks = [str(block["name"]) for block in meta_backbone["blocks"]]
    return blocks, [allocation_name(accelerator, index) for index in range(len(accelerator.allocations))]
