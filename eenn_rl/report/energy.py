"""Where the energy goes: by memory level, for every stage and branch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

from eenn_rl.cost import CostReport, LayerCost
from eenn_rl.report.drawing import PALETTE, Drawing, Rect, Text
from eenn_rl.report.scales import Scale, number

ROW, BAR, LEFT, TOP = 26.0, 17.0, 96.0, 34.0
REST = "all others"


def energy_by_memory(layers: Sequence[LayerCost]) -> dict[str, float]:
    """Sums over layers, J; what a layer's breakdown lacks of its energy is `other`, what is no number is left out."""
    total: dict[str, float] = {}
    for layer in layers:
        known = {name: value for name, value in layer.energy_j_by_memory.items() if isfinite(value)}
        for name, value in known.items():
            total[name] = total.get(name, 0.0) + value
        rest = layer.energy_j - sum(known.values())
        if isfinite(rest) and rest > 1e-6 * layer.energy_j:
            total["other"] = total.get("other", 0.0) + rest
    return total


def energy_parts(report: CostReport) -> list[tuple[str, dict[str, float]]]:
    """Every stage and branch by name, with its energies by memory."""
    return [
        (f"{name} {k + 1}", energy_by_memory(layers))
        for k, stage in enumerate(report.stages)
        for name, layers in (("stage", stage.layers), ("branch", stage.branch_layers))
    ]


def memories_of(reports: Iterable[CostReport]) -> list[str]:
    """Where energy goes in any of `reports`, most first: in this order each has one colour in all their figures."""
    totals: Counter[str] = Counter()
    for report in reports:
        for _, found in energy_parts(report):
            totals.update(found)
    return [name for name, value in totals.most_common() if value > 0]


def energy_figure(report: CostReport, memories: Sequence[str]) -> Drawing | None:
    """Stacked bars of a sample that runs the whole network; None where the backend breaks nothing down.

    Of more `memories` than the palette has colours, the last are put together.
    """
    parts = energy_parts(report)
    if not memories or not any(sum(found.values()) > 0 for _, found in parts):
        return None
    if len(memories) > len(PALETTE):
        kept = list(memories[: len(PALETTE) - 1])
        parts = [(name, _folded(found, kept)) for name, found in parts]
        memories = [*kept, REST]
    widest = max(sum(found.values()) for _, found in parts) * 1e6
    told = "Bars are stages and branches of the whole path; colours are memories, MACs and links."
    drawing = Drawing(900, TOP + ROW * len(parts) + 46, "Energy by memory level, stage by stage", told)
    _legend(drawing, memories)
    scale = Scale(0.0, widest * 1.02, LEFT, 884.0)
    bottom = TOP + ROW * len(parts)
    for value in scale.ticks(8):
        drawing.line("grid", [(scale(value), TOP), (scale(value), bottom)])
        drawing.add(Text("tick", scale(value), bottom + 16, number(value), "middle"))
    for row, (name, found) in enumerate(parts):
        _bar(drawing, name, found, memories, scale, TOP + ROW * row)
    drawing.add(Text("label", (LEFT + 884) / 2, bottom + 36, "energy of one sample, \u00b5J", "middle"))
    return drawing


def _folded(found: Mapping[str, float], kept: Sequence[str]) -> dict[str, float]:
    told = {name: found[name] for name in kept if name in found}
    return {**told, REST: sum(value for name, value in found.items() if name not in told)}


def _bar(
    drawing: Drawing, name: str, found: Mapping[str, float], memories: Sequence[str], scale: Scale, y: float
) -> None:
    drawing.add(Text("tick", LEFT - 8, y + 17, name, "end"))
    start = 0.0
    for index, memory in enumerate(memories):
        value = found.get(memory, 0.0) * 1e6
        if value > 0:
            tip = f"{name}, {memory}: {value:.4g} \u00b5J"
            x, width = scale(start), scale(start + value) - scale(start)
            drawing.add(Rect(f"c{index % len(PALETTE)}", x, y + (ROW - BAR) / 2, max(0.4, width), BAR, tip))
        start += value


def _legend(drawing: Drawing, memories: Sequence[str]) -> None:
    x = LEFT
    for index, memory in enumerate(memories):
        drawing.add(Rect(f"c{index % len(PALETTE)}", x, 8, 12, 12), Text("tick", x + 17, 18, memory))
        x += 34 + 6.8 * len(memory)


def rates_figure(predicted: Sequence[float], measured: Sequence[float]) -> Drawing:
    """Predicted and measured exit rates side by side."""
    rows = len(measured)
    drawing = Drawing(430, 40 + 40 * rows + 40, "Exit rates, predicted and measured", "Pairs of bars, one per exit.")
    scale = Scale(0.0, 100.0, 60.0, 410.0)
    bottom = 34 + 40 * rows
    drawing.add(Rect("c4", 60, 8, 12, 12), Text("tick", 77, 18, "predicted"), Rect("c5", 150, 8, 12, 12),
                Text("tick", 167, 18, "measured on test"))  # fmt: skip
    for value in scale.ticks(5):
        drawing.line("grid", [(scale(value), 30), (scale(value), bottom)])
        drawing.add(Text("tick", scale(value), bottom + 16, number(value), "middle"))
    for k, pair in enumerate(zip(predicted, measured, strict=True)):
        drawing.add(Text("tick", 52, 34 + 40 * k + 21, f"exit {k + 1}", "end"))
        for side, (rate, kind, who) in enumerate(zip(pair, ("c4", "c5"), ("predicted", "measured"), strict=True)):
            y = 34 + 40 * k + 4 + 15 * side
            drawing.add(Rect(kind, 60, y, scale(100 * rate) - 60, 13, f"exit {k + 1}, {who}: {100 * rate:.2f}%"))
            drawing.add(Text("small", scale(100 * rate) + 4 if rate < 0.88 else scale(100 * rate) - 4, y + 10.5,
                             f"{100 * rate:.1f}", "start" if rate < 0.88 else "end"))  # fmt: skip
    drawing.add(Text("label", 235, bottom + 34, "share of the inputs, %", "middle"))
    return drawing
