"""The cores in time, for a sample that leaves at each exit."""

import re
from collections.abc import Sequence

from eenn_rl.cost import ExitCost, Span
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.report.drawing import Drawing, Rect, Text, text_on
from eenn_rl.report.scales import Scale, number

ROW, BAR, HEAD, LEFT = 21.0, 15.0, 26.0, 96.0


def resources(timelines: Sequence[Sequence[Span]], accelerator: AcceleratorSpec) -> list[str]:
    """The rows of a figure: cores of the accelerator that are used, then links and ports."""
    used = {name for spans in timelines for span in spans for name in _split(span, accelerator)}
    cores = [core.name for core in accelerator.cores]
    return [name for name in cores if name in used] + sorted(used - set(cores))


def _split(span: Span, accelerator: AcceleratorSpec) -> list[str]:
    """The rows that a span fills: each core of a group on its own."""
    cores = {core.name for core in accelerator.cores}
    parts = span.resource.split("+")
    return parts if cores.issuperset(parts) else [span.resource]


def timeline_figure(
    exits: Sequence[ExitCost], timelines: Sequence[Sequence[Span]], accelerator: AcceleratorSpec
) -> Drawing | None:
    """One panel per exit, with what leaving there costs, on a common axis of time; None where no timeline is told."""
    if not any(timelines):
        return None
    rows = resources(timelines, accelerator)
    ends = [span.end_s for spans in timelines for span in spans]
    end = 1e6 * max(*ends, *(cost.latency_s for cost in exits))
    panel = HEAD + ROW * len(rows) + 10
    drawing = Drawing(
        900, panel * len(exits) + 40, "Cores in time, for a sample that leaves at each exit",
        "Each panel is one exit, each row a core or port; bars are stages and branches at work, in microseconds.",
    )  # fmt: skip
    time = Scale(0.0, end or 1.0, LEFT, 884.0)
    for k, (cost, spans) in enumerate(zip(exits, timelines, strict=True)):
        told = f"leaves at exit {k + 1}: {cost.latency_s * 1e6:.4g} \u00b5s, {cost.energy_j * 1e6:.4g} \u00b5J"
        drawing.add(Text("heading", LEFT, panel * k + 17, told))
        _panel(drawing, spans, panel * k, rows, time, accelerator)
    bottom = panel * len(exits)
    for value in time.ticks(8):
        drawing.add(Text("tick", time(value), bottom + 16, number(value), "middle"))
    drawing.add(Text("label", (LEFT + 884) / 2, bottom + 34, "time since the input arrived, \u00b5s", "middle"))
    return drawing


def _panel(
    drawing: Drawing, spans: Sequence[Span], top: float, rows: list[str], time: Scale, accelerator: AcceleratorSpec
) -> None:
    for value in time.ticks(8):
        drawing.line("grid", [(time(value), top + HEAD), (time(value), top + HEAD + ROW * len(rows))])
    for number_, name in enumerate(rows):
        drawing.add(Text("tick", LEFT - 8, top + HEAD + ROW * number_ + 14, name, "end"))
        drawing.line("grid", [(LEFT, top + HEAD + ROW * (number_ + 1)), (884, top + HEAD + ROW * (number_ + 1))])
    for span in spans:
        colour = _stage_colour(span.label)
        width = max(1.0, time(span.end_s * 1e6) - time(span.start_s * 1e6))
        label = counted_from_one(span.label)
        tip = f"{span.resource}: {label}, {span.start_s * 1e6:.4g} to {span.end_s * 1e6:.4g} \u00b5s"
        for name in _split(span, accelerator):
            y = top + HEAD + ROW * rows.index(name) + (ROW - BAR) / 2
            drawing.add(Rect(f"c{colour}", time(span.start_s * 1e6), y, width, BAR, tip, radius=2))
            if width > 7 * len(label):
                middle = time(span.start_s * 1e6) + width / 2
                drawing.add(Text(text_on(colour), middle, y + 11.5, label, "middle"))


def counted_from_one(label: str) -> str:
    """Labels such as ``stage 0`` with the number that people count by, as everywhere in a report."""
    return re.sub(r"^(stage|branch) (\d{1,3})$", lambda found: f"{found[1]} {int(found[2]) + 1}", label)


def _stage_colour(label: str) -> int:
    """Stages and their branches alternate through the palette: by the number in the label, branches lighter."""
    digits = "".join(character for character in label if character.isdigit())
    stage = int(digits[:3]) if digits else 3
    return ((0, 2, 5, 3)[stage % 4]) if "branch" not in label else ((4, 1, 6, 7)[stage % 4])
