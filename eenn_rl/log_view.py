"""A log in the terminal: learning curve, Pareto front, and two runs side by side."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from eenn_rl.trajectory import TrajectoryLog, open_log

Floats = npt.NDArray[np.float64]

WIDTH, HEIGHT = 60, 12
"""Of a plot, in characters; each holds 2 x 4 braille dots."""
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bit of each dot of a braille character, by row and column (Unicode 2800..28FF)."""


@dataclass(frozen=True)
class Points:
    """What a plot draws in one colour; points without a finite place are left out."""

    x: Floats
    y: Floats
    style: str


def plot(layers: list[Points], title: str, x_label: str, y_label: str) -> Text:
    """Points on common axes; later layers over earlier ones. Ranges are those of the data."""
    layers = [_placed(layer) for layer in layers]
    xs, ys = (np.concatenate([getattr(layer, axis) for layer in layers]) for axis in ("x", "y"))
    text = Text(f"{title}\n", style="bold")
    if not len(xs):
        return text.append("nothing to draw yet\n", style="not bold")
    left, right, low, high = float(xs.min()), float(xs.max()), float(ys.min()), float(ys.max())
    cells = np.zeros((HEIGHT, WIDTH), np.int64)
    styles = np.full((HEIGHT, WIDTH), "", object)
    for layer in layers:
        column, row = _places(layer.x, left, right, 2 * WIDTH), 4 * HEIGHT - 1 - _places(layer.y, low, high, 4 * HEIGHT)
        np.bitwise_or.at(cells, (row // 4, column // 2), _DOTS[row % 4, column % 2])
        styles[row // 4, column // 2] = layer.style
    labels = {0: f"{high:.4g}", HEIGHT - 1: f"{low:.4g}", HEIGHT // 2: y_label}
    margin = max(map(len, labels.values()))
    for line in range(HEIGHT):
        text.append(f"{labels.get(line, ''):>{margin}} |", style="not bold")
        for code, style in zip(cells[line].tolist(), styles[line].tolist(), strict=True):
            text.append(chr(0x2800 + code) if code else " ", style=f"not bold {style}")
        text.append("\n")
    ends = f"{left:.4g}", f"{right:.4g}"
    middle = x_label.center(max(1, WIDTH - len(ends[0]) - len(ends[1])))
    return text.append(" " * (margin + 2) + ends[0] + middle + ends[1] + "\n", style="not bold")


def _placed(layer: Points) -> Points:
    known = np.isfinite(layer.x) & np.isfinite(layer.y)
    return Points(layer.x[known], layer.y[known], layer.style)


def _places(values: Floats, low: float, high: float, count: int) -> npt.NDArray[np.int64]:
    """The dot of each value, 0..count-1."""
    span = high - low
    share = (values - low) / span if span > 0 else np.full(len(values), 0.5)
    return np.minimum((share * count).astype(np.int64), count - 1)


def best_so_far(log: TrajectoryLog) -> tuple[Floats, Floats]:
    """Learning curve: episodes (from 1) and the best feasible ELP reduction up to each, in %, once there is one."""
    columns = log.columns("feasible", "elp_reduction")
    if not len(log):
        return np.zeros(0), np.zeros(0)
    counted = columns["feasible"] & np.isfinite(columns["elp_reduction"])
    best = np.maximum.accumulate(np.where(counted, columns["elp_reduction"], -np.inf))
    known = np.flatnonzero(np.isfinite(best))
    return (known + 1).astype(np.float64), 100 * best[known]


def curve_view(log: TrajectoryLog) -> Text:
    """The learning curve."""
    title = "Best feasible reduction of the energy-latency product (%) by episode"
    return plot([Points(*best_so_far(log), "cyan")], title, "episodes", "% saved")


def front_view(log: TrajectoryLog) -> Text:
    """Feasible architectures by ELP and accuracy, those on the Pareto front (with energy and latency) marked."""
    columns = log.columns("feasible", "accuracy", "elp")
    rows = np.flatnonzero(columns["feasible"] & (columns["elp"] > 0) & np.isfinite(columns["elp"]))
    front = np.intersect1d(log.front(), rows)
    layers = [
        Points(np.log10(columns["elp"][part]), 100 * columns["accuracy"][part], style)
        for part, style in ((rows, "dim"), (front, "bold yellow"))
    ]
    title = f"Feasible architectures; {len(front)} on the Pareto front of accuracy, energy and latency"
    return plot(layers, title, "log10 ELP (J s)", "accuracy %")


def log_view(path: Path) -> RenderableType:
    """Curve and front of one log."""
    with open_log(path) as log:
        return Group(curve_view(log), front_view(log))


def compare_view(first: Path, second: Path) -> RenderableType:
    """Two logs: their learning curves on common axes, and their numbers side by side."""
    with open_log(first) as a, open_log(second) as b:
        curves = [Points(*best_so_far(log), style) for log, style in ((a, "cyan"), (b, "magenta"))]
        title = f"Best feasible reduction of the ELP (%): {first} in cyan, {second} in magenta"
        table = Table("", *(Column(Text(str(path))) for path in (first, second)))
        for name, left, right in zip(_NUMBERS, _numbers(a), _numbers(b), strict=True):
            table.add_row(name, left, right)
        remark = Text(_same_problem(a, b))
        return Group(plot(curves, title, "episodes", "% saved"), table, remark)


_NUMBERS = (
    "episodes", "distinct architectures", "feasible %", "best ELP reduction %", "its accuracy %",
    "episodes to 99% of it", "on the Pareto front", "verified",
)  # fmt: skip


def _numbers(log: TrajectoryLog) -> list[str]:
    episodes, best = best_so_far(log)
    top = log.top(1, by="elp_reduction")
    share = f"{100 * log.columns('feasible')['feasible'].mean():.1f}" if len(log) else "-"
    found = ["-", "-", "-"]
    if len(top) and len(best):
        accuracy = 100 * float(log.columns("accuracy")["accuracy"][top[0]])
        reached = int(episodes[int(np.argmax(best >= best[-1] - 0.01 * abs(best[-1])))])
        found = [f"{best[-1]:.2f}", f"{accuracy:.2f}", f"{reached:,}"]
    counts = [f"{len(log):,}", f"{len(log.distinct()):,}"]
    return [*counts, share, *found, f"{len(log.front()):,}", str(len(log.verifications()))]


def _same_problem(a: TrajectoryLog, b: TrajectoryLog) -> str:
    """Whether the numbers may be compared at all."""
    parts = a.meta.differences(b.meta)
    return f"they differ in {', '.join(parts)}: not the same problem" if parts else "both searched the same problem"
