"""The network as a strip: the backbone's blocks in a row, each exit's branch below the block it follows."""

from eenn_rl.architecture import Architecture
from eenn_rl.branches import branch_layers
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.report.drawing import PALETTE, Drawing, Rect, Text, text_on
from eenn_rl.results import Verified

LEAST_WIDTH, ROOM = 98.0, 860.0


def colour_of(allocation: int) -> int:
    """The palette's colour of an allocation."""
    return allocation % len(PALETTE)


def allocation_name(accelerator: AcceleratorSpec, index: int) -> str:
    """The name of an allocation, also where the accelerator has fewer."""
    return accelerator.allocation_name(index) if index < len(accelerator.allocations) else f"allocation {index}"


def short_name(name: str) -> str:
    """The name of a group of cores without repeating what its cores' names begin with: ``core0+1+2``."""
    first, *others = name.split("+")
    stem = first.rstrip("0123456789")
    if others and stem != first and all(other.startswith(stem) and other[len(stem) :].isdigit() for other in others):
        return "+".join([first, *(other[len(stem) :] for other in others)])
    return name


def strip_figure(architecture: Architecture, accelerator: AcceleratorSpec, verified: Verified | None = None) -> Drawing:
    """Blocks as wide as their share of the MACs (with a least width), coloured by the allocation that runs them."""
    blocks = architecture.backbone.blocks
    macs = [sum(layer.macs for layer in block.layers) for block in blocks]
    spare = max(0.0, ROOM - LEAST_WIDTH * len(blocks))
    widths = [LEAST_WIDTH + spare * m / max(1, sum(macs)) for m in macs]
    drawing = Drawing(
        sum(widths) + 40, 216, f"The network: {len(blocks)} blocks, {len(architecture.exits)} exits",
        "Blocks of the backbone from left to right; below a block the branch that is mounted after it.",
    )  # fmt: skip
    x, stage = 20.0, 0
    for index, block in enumerate(blocks):
        exit_ = architecture.exits[stage]
        core = allocation_name(accelerator, exit_.core)
        tip = f"block {block.name}: {macs[index]:,} MACs, {exit_.bits} bits, on {core}"
        lines = (block.name, f"{exit_.bits} bit", short_name(core))
        _box(drawing, (x, 14, widths[index] - 8, 62), exit_.core, lines, tip)
        if index:
            drawing.line("wire", [(x - 8, 45), (x, 45)])
        if exit_.location == index:
            _exit(drawing, architecture, accelerator, stage, x + (widths[index] - 8) / 2, verified)
            stage = min(stage + 1, len(architecture.exits) - 1)
        x += widths[index]
    return drawing


def _box(
    drawing: Drawing, place: tuple[float, float, float, float], allocation: int, lines: tuple[str, ...], tip: str
) -> None:
    x, y, width, height = place
    colour = colour_of(allocation)
    drawing.add(Rect(f"c{colour}", x, y, width, height, tip, radius=4))
    kind = text_on(colour)
    first = y + height / 2 - 7.5 * (len(lines) - 1) + 4
    for number, line in enumerate(lines):
        drawing.add(Text(kind, x + width / 2, first + 15 * number, _cut(line, width), "middle"))


def _cut(text: str, width: float) -> str:
    most = max(3, int(width / 6.3))
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def _exit(
    drawing: Drawing, architecture: Architecture, accelerator: AcceleratorSpec, stage: int, x: float,
    verified: Verified | None,
) -> None:  # fmt: skip
    """The branch of one exit, and what leaves there."""
    exit_ = architecture.exits[stage]
    core = allocation_name(accelerator, exit_.branch_core)
    layers = branch_layers(architecture.backbone, exit_.location, exit_.branch)
    tip = (
        f"exit {stage + 1}: {exit_.branch}, {sum(layer.macs for layer in layers):,} MACs, {exit_.bits} bits, on {core}"
    )
    width = 92.0
    drawing.line("wire", [(x, 76), (x, 100)], arrow=True)
    lines = (exit_.branch, f"{exit_.bits} bit", short_name(core))
    _box(drawing, (x - width / 2, 102, width, 58), exit_.branch_core, lines, tip)
    drawing.line("wire", [(x, 160), (x, 178)], arrow=True)
    if verified is None:
        drawing.add(Text("heading", x, 193, f"exit {stage + 1}", "middle"))
        return
    rate = verified.measured.exit_rates[stage]
    drawing.add(Text("heading", x, 193, f"{100 * rate:.1f}% leave", "middle"))
    threshold = verified.thresholds[stage]
    last = stage == len(architecture.exits) - 1
    text = "all that is left" if last else "off" if threshold > 1 else f"if \u2265 {_share(threshold)} sure"
    drawing.add(Text("small", x, 209, text, "middle"))


def _share(threshold: float) -> str:
    """A confidence in percent, with as many digits as tell it from 100."""
    return f"{100 * threshold:.1f}%" if threshold < 0.99 else f"{100 * threshold:.2f}%"
