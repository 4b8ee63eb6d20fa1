"""How the search went: learning curve, feasible share, and what was proposed as time went on."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eenn_rl.report.drawing import PALETTE, Dot, Drawing, Line, Rect, Text
from eenn_rl.report.logged import Policy, Search
from eenn_rl.report.network import short_name
from eenn_rl.report.scales import Frame, Scale, frame, number

Floats = npt.NDArray[np.float64]
MOST_DOTS = 100
"""Updates of a policy that are marked one by one."""


def curve_figure(searches: Sequence[tuple[str, Search]]) -> Drawing:
    """Share of the energy-latency product saved by the best feasible architecture so far, by distinct evaluations."""
    drawing = Drawing(900, 300, "Best so far by evaluations", "A rising curve per run.")
    most = max((int(s.evaluations[-1]) for _, s in searches if len(s.evaluations)), default=1)
    values = [100 * float(v) for _, s in searches for v in s.best if np.isfinite(v)]
    low = min([0.0, *values])
    area = frame(drawing, (0, most), (low, max([10.0, *values]) * 1.05), margins=(64, 30, 16, 48))
    area.axes(drawing, "distinct architectures evaluated", "ELP saved, %")
    for index, (name, search) in enumerate(searches):
        known = np.isfinite(search.best)
        points = [(area.x(float(n)), area.y(100 * float(v)))
                  for n, v in zip(search.evaluations[known], search.best[known], strict=True)]  # fmt: skip
        kind = f"s{index % len(PALETTE)}"
        if points:
            last = 100 * float(search.best[known][-1])
            drawing.line(kind, stepped(points), tip=f"{name}: {last:.2f}% saved in the end")
        if len(searches) == 1:
            _policy_end(drawing, area, search)
        else:
            drawing.line(kind, [(area.left + 8 + 180 * index, 14), (area.left + 30 + 180 * index, 14)])
            drawing.add(Text("tick", area.left + 36 + 180 * index, 18, name[:22]))
    return drawing


def stepped(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A staircase through `points`: level from each to the next, then up or down."""
    steps = [points[0]]
    for x, y in points[1:]:
        steps += [(x, steps[-1][1]), (x, y)]
    return steps


def _policy_end(drawing: Drawing, area: Frame, search: Search) -> None:
    """A line where the policy's training ended, if another search went on from there."""
    if search.policy is None or search.policy.evaluations[-1] >= 0.98 * search.evaluations[-1]:
        return
    last = int(search.policy.evaluations[-1])
    at = area.x(float(last))
    drawing.line("baseline", [(at, area.top), (at, area.bottom)], tip=f"the policy searched up to {last:,} evaluations")
    drawing.add(Text("small", at + 5, area.bottom - 8, "policy up to here"))


def entropy_figure(policy: Policy) -> Drawing:
    """The policy's entropy at each of its updates: how undecided it still was."""
    drawing = Drawing(900, 260, "Entropy of the policy", "A mark per update, in nats, mean over the decisions taken.")
    values = policy.entropy.tolist()
    area = frame(drawing, (0, int(policy.evaluations[-1])), (0, max([0.1, *values]) * 1.08), margins=(64, 14, 16, 48))
    area.axes(drawing, "distinct architectures evaluated", "nats per decision")
    points = [(area.x(float(n)), area.y(v)) for n, v in zip(policy.evaluations.tolist(), values, strict=True)]
    if len(points) > 1:
        drawing.line("curve", points, tip=f"entropy {values[0]:.3g} nats at first, {values[-1]:.3g} in the end")
    if len(points) <= MOST_DOTS:
        for n, value, (x, y) in zip(policy.evaluations.tolist(), values, points, strict=True):
            drawing.add(Dot("frontpoint", x, y, 4, f"after {n:,} evaluations: {value:.4g} nats", focus=True))
    return drawing


def shares_figure(search: Search) -> Drawing:
    """Feasible share and diversity of what was proposed, window by window."""
    drawing = Drawing(900, 260, "Feasible share and diversity", "Two curves over the search, in percent.")
    most = int(search.evaluations[-1]) if len(search.evaluations) else 1
    area = frame(drawing, (0, most), (0, 100), margins=(64, 30, 16, 48))
    area.axes(drawing, "distinct architectures evaluated", "%")
    for kind, label, values, x in (
        ("curve", "feasible share", search.feasible, 0),
        ("curve2", "diversity of the choices (their entropy; 100: all equally frequent)", search.diversity, 150),
    ):
        points = [(area.x(float(n)), area.y(100 * float(v))) for n, v in zip(search.evaluations, values, strict=True)]
        if points:
            drawing.line(kind, points, tip=f"{label}: {100 * float(values[-1]):.1f}% in the end")
        drawing.line(kind, [(area.left + 8 + x, 14), (area.left + 30 + x, 14)])
        drawing.add(Text("tick", area.left + 36 + x, 18, label))
    _policy_end(drawing, area, search)
    return drawing


def preference_figure(what: str, names: Sequence[str], shares: Floats, evaluations: npt.NDArray[np.int64]) -> Drawing:
    """Shares of each choice over the search, stacked to 100%; choices beyond the palette's size are put together."""
    names, shares = _grouped(names, shares)
    drawing = Drawing(430, 290, f"What was chosen: {what}", "Bands stacked to 100 percent over the search.")
    drawing.add(Text("heading", 44, 16, f"{what}, %"))
    most = int(evaluations[-1]) if len(evaluations) else 1
    top = 52.0 + 17 * ((len(names) - 1) // 3)
    x, y = Scale(0, most, 44, 408), Scale(0, 100, 248, top + 6)
    edges = np.concatenate([[0], evaluations]).tolist()
    below = np.zeros(len(shares))
    for index, name in enumerate(names):
        above = below + 100 * shares[:, index]
        tip = f"{what}, {name}: {100 * shares[-1, index]:.1f}% in the end" if len(shares) else ""
        drawing.add(_band(f"c{index % len(PALETTE)}", edges, below, above, x, y, tip))
        _key(drawing, index, name)
        below = above
    for share in (0, 50, 100):
        drawing.add(Text("tick", 38, y(share) + 4, str(share), "end"))
    for value in x.ticks(4):
        drawing.add(Text("tick", x(value), 265, number(value), "middle"))
    drawing.line("axis", [(44, top + 6), (44, 248), (408, 248)])
    drawing.add(Text("label", 226, 284, "distinct architectures evaluated", "middle"))
    return drawing


def _grouped(names: Sequence[str], shares: Floats) -> tuple[list[str], Floats]:
    if len(names) <= len(PALETTE):
        return list(names), shares
    order = np.argsort(-shares.mean(0), kind="stable")
    kept, rest = np.sort(order[: len(PALETTE) - 1]), order[len(PALETTE) - 1 :]
    grouped = np.column_stack([shares[:, kept], shares[:, rest].sum(1)])
    return [names[index] for index in kept] + [f"{len(rest)} others"], grouped


def _band(kind: str, edges: Sequence[float], below: Floats, above: Floats, x: Scale, y: Scale, tip: str) -> Line:
    """A band that is constant within each window."""
    upper, lower = [], []
    for row in range(len(below)):
        for edge in (edges[row], edges[row + 1]):
            upper.append((x(edge), y(float(above[row]))))
            lower.append((x(edge), y(float(below[row]))))
    return Line(kind, tuple(upper + lower[::-1]) or ((0.0, 0.0),), tip=tip)


def _key(drawing: Drawing, index: int, name: str) -> None:
    column, row = index % 3, index // 3
    at, y = 44 + 128 * column, 28 + 17 * row
    name = short_name(name)
    shown = name if len(name) <= 17 else name[:16] + "\u2026"
    drawing.add(Rect(f"c{index % len(PALETTE)}", at, y, 11, 11), Text("tick", at + 16, y + 10, shown))
