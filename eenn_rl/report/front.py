"""The Pareto front: every distinct logged architecture by accuracy and cost, the verified ones as measured too."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.logged_run import LoggedStatic
from eenn_rl.report.drawing import Dot, Drawing, Text
from eenn_rl.report.gathered import RunReport
from eenn_rl.report.logged import Cloud, staircase, thinned
from eenn_rl.report.scales import Frame, frame, padded

MOST_POINTS = 3000
"""Points drawn for each measure; the front's and the verified ones come on top."""


@dataclass(frozen=True)
class Measure:
    """An axis of cost: the field's name, how it is labelled, and what its unit is in SI units."""

    field: str
    label: str
    unit: str
    factor: float

    def drawable(self, value: float) -> bool:
        """Whether `value` has a place on a logarithmic axis."""
        return 0 < value * self.factor < inf

    def text(self, value: float) -> str:
        """A value with its unit."""
        return f"{value * self.factor:.4g} {self.unit}"


MEASURES = (
    Measure("elp", "expected energy-latency product", "nJ s", 1e9),
    Measure("energy_j", "expected energy", "\u00b5J", 1e6),
    Measure("latency_s", "expected latency", "\u00b5s", 1e6),
)


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is drawn of a cloud: `cloud` [m], each for `stands_for` [m] of `total`; `fronts` are rows, by measure.

    `costless` of the `total` can be drawn nowhere: the backend failed on them.
    """

    cloud: Cloud
    stands_for: npt.NDArray[np.int64]
    total: int
    costless: int
    fronts: dict[str, npt.NDArray[np.intp]]


def choose(cloud: Cloud) -> Chosen:
    """Thin the cloud, never its fronts (those of the feasible ones, for each measure)."""
    drawable = cloud.drawable
    feasible = np.flatnonzero(cloud.feasible & drawable)
    fronts = {
        m.field: feasible[staircase(cloud.accuracy[feasible], getattr(cloud, m.field)[feasible])] for m in MEASURES
    }
    keep = np.unique(np.concatenate(list(fronts.values()))).astype(np.intp)
    rows, stands_for = thinned(cloud, keep, MOST_POINTS, tuple(m.field for m in MEASURES))
    places = {name: np.searchsorted(rows, found) for name, found in fronts.items()}
    return Chosen(cloud.take(rows), stands_for, len(cloud), int((~drawable).sum()), places)


def front_figure(run: RunReport, chosen: Chosen, measure: Measure, number: str = "") -> Drawing:
    """Accuracy against one measure of cost (logarithmic); `number` tells runs apart."""
    drawing = Drawing(
        900, 470, f"Accuracy against {measure.label}{number}",
        f"{len(chosen.cloud)} of {chosen.total} distinct architectures, the Pareto front, and the verified networks "
        "from predicted to measured.",
    )  # fmt: skip
    area = _frame(drawing, run, chosen, measure)
    area.axes(drawing, "accuracy, %", f"{measure.label}, {measure.unit}", y_ticks=6)
    _bounds(drawing, area, run, measure)
    _points(drawing, area, chosen, measure)
    _front(drawing, area, chosen, measure)
    _baselines(drawing, area, run, measure)
    _verified(drawing, area, run, measure)
    _legend(drawing, area, bool(run.cards))
    return drawing


def _frame(drawing: Drawing, run: RunReport, chosen: Chosen, measure: Measure) -> Frame:
    accuracy = [100 * float(value) for value in chosen.cloud.accuracy]
    cost = [float(value) * measure.factor for value in getattr(chosen.cloud, measure.field)]
    for item in _statics(run).values():
        accuracy.append(100 * item.accuracy)
        cost.append(getattr(item, measure.field) * measure.factor)
    for static in (run.results.static, run.results.static_best_bits) if run.results else ():
        accuracy.append(100 * static.accuracy)
        cost.append(getattr(static, measure.field) * measure.factor)
    for card in run.cards:
        accuracy += [100 * bound for bound in card.verified.measured.accuracy_interval]
        for side in (card.verified.predicted, card.verified.measured):
            accuracy.append(100 * side.accuracy)
            if measure.drawable(getattr(side, measure.field)):
                cost.append(getattr(side, measure.field) * measure.factor)
    return frame(drawing, padded(accuracy, 0.04), padded(cost, 0.06, logarithmic=True), log_y=True,
                 margins=(64, 34, 16, 48))  # fmt: skip


def _statics(run: RunReport) -> dict[str, LoggedStatic]:
    """The static networks as the search saw them, each once."""
    static, best = run.baselines.static, run.baselines.static_best_bits
    return {"static": static} if static.elp == best.elp else {"static": static, "static_best_bits": best}


def _bounds(drawing: Drawing, area: Frame, run: RunReport, measure: Measure) -> None:
    """The constraints on these axes: accuracy, as estimated and as measured on test; and the deadline."""
    kept = [(run.floor, "to keep, as estimated")] if run.floor is not None else []
    if run.results:
        kept.append((run.results.static.accuracy - run.objective.accuracy_tolerance, "to keep on test"))
    for row, (accuracy, label) in enumerate(kept):  # one above the other: the two bounds lie close
        if area.x.low < 100 * accuracy < area.x.high:
            at = area.x(100 * accuracy)
            drawing.line("bound", [(at, area.top), (at, area.bottom)], tip=f"accuracy {label}: {100 * accuracy:.2f}%")
            drawing.add(Text("boundtext", at - 5, area.bottom - 8 - 15 * row, label, "end"))
    deadline = run.objective.deadline_s
    if deadline is not None and measure.field == "latency_s" and area.y.low < deadline * measure.factor < area.y.high:
        at = area.y(deadline * measure.factor)
        tip = f"deadline of the worst case: {measure.text(deadline)}"
        drawing.line("bound", [(area.left, at), (area.right, at)], tip=tip)
        drawing.add(Text("boundtext", area.right - 6, at - 5, "deadline (worst case)", "end"))


def _baselines(drawing: Drawing, area: Frame, run: RunReport, measure: Measure) -> None:
    """The static networks: lines at their cost, marks where the search saw them and where they were measured."""
    for name, item in _statics(run).items():
        best = name != "static"
        cost = getattr(item, measure.field)
        height = area.y(cost * measure.factor)
        who = f"static network{', best bits' if best else ''} ({item.bits} bits)"
        tip = f"{who}, as estimated: accuracy {100 * item.accuracy:.2f}%, {measure.text(cost)}"
        drawing.line("baseline", [(area.left, height), (area.right, height)], tip=tip)
        label = f"static, {'best bits, ' if best else ''}{item.bits} bits"
        drawing.add(Text("small", area.left + 6, height - 5, label))
        drawing.add(Dot("static", area.x(100 * item.accuracy), height, 5.5, tip, focus=True, shape="square"))
    if run.results is None:
        return
    statics = [run.results.static, run.results.static_best_bits]
    for static in statics[:1] if statics[0].bits == statics[1].bits else statics:
        cost = getattr(static, measure.field)
        tip = f"static network, {static.bits} bits, measured on test: accuracy {100 * static.accuracy:.2f}%, "
        place = (area.x(100 * static.accuracy), area.y(cost * measure.factor))
        drawing.add(Dot("staticmeasured", *place, 6, tip + measure.text(cost), focus=True, shape="square"))


def _points(drawing: Drawing, area: Frame, chosen: Chosen, measure: Measure) -> None:
    cloud, on_front = chosen.cloud, set(chosen.fronts[measure.field].tolist())
    cost = getattr(cloud, measure.field) * measure.factor
    for feasible in (False, True):  # feasible ones on top
        for row in np.flatnonzero(cloud.feasible == feasible).tolist():
            if row not in on_front:
                kind = "feasible" if feasible else "infeasible"
                drawing.add(Dot(kind, area.x(100 * cloud.accuracy[row]), area.y(cost[row]), 2.4, row=row))


def _front(drawing: Drawing, area: Frame, chosen: Chosen, measure: Measure) -> None:
    rows = chosen.fronts[measure.field].tolist()
    cost = getattr(chosen.cloud, measure.field) * measure.factor
    places = [(area.x(100 * chosen.cloud.accuracy[row]), area.y(cost[row])) for row in rows]
    steps: list[tuple[float, float]] = []
    for place in places:
        if steps:
            steps.append((place[0], steps[-1][1]))
        steps.append(place)
    if len(steps) > 1:
        drawing.line("front", steps)
    for row, (x, y) in zip(rows, places, strict=True):
        drawing.add(Dot("frontpoint", x, y, 4, row=row, focus=True, tip=_label(chosen.cloud, row, measure)))


def _label(cloud: Cloud, row: int, measure: Measure) -> str:
    cost = float(getattr(cloud, measure.field)[row])
    return f"on the front: accuracy {100 * cloud.accuracy[row]:.2f}%, {measure.text(cost)}"


def _verified(drawing: Drawing, area: Frame, run: RunReport, measure: Measure) -> None:
    """An arrow from what was predicted to what was measured, with the 95% interval of the accuracy."""
    for rank, card in enumerate(run.cards, start=1):
        predicted, measured = card.verified.predicted, card.verified.measured
        if not all(measure.drawable(getattr(side, measure.field)) for side in (predicted, measured)):
            continue  # a cost of nothing
        start, end = (
            (area.x(100 * side.accuracy), area.y(getattr(side, measure.field) * measure.factor))
            for side in (predicted, measured)
        )
        low, high = (area.x(100 * bound) for bound in measured.accuracy_interval)
        drawing.line("interval", [(low, end[1]), (high, end[1])])
        drawing.line("arrow", _shortened(start, end), arrow=True)
        tips = (_told(f"#{rank} predicted", predicted, measure), _told(f"#{rank} measured on test", measured, measure))
        drawing.add(Dot("predicted", *start, 4.5, tips[0], focus=True, shape="diamond"))
        drawing.add(Dot("measured", *end, 6, tips[1], focus=True, shape="diamond"))
        drawing.add(Text("heading", end[0] + 10, end[1] - 8, f"#{rank}"))


def _told(who: str, side: Any, measure: Measure) -> str:
    cost = measure.text(getattr(side, measure.field))
    return f"{who}: accuracy {100 * side.accuracy:.2f}%, {cost}"


def _shortened(start: tuple[float, float], end: tuple[float, float], gap: float = 9.0) -> list[tuple[float, float]]:
    """The line from start to end, stopping short of both marks."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = (dx * dx + dy * dy) ** 0.5
    if length <= 2 * gap:
        return [start, start]
    ux, uy = dx / length * gap, dy / length * gap
    return [(start[0] + ux, start[1] + uy), (end[0] - ux, end[1] - uy)]


def _legend(drawing: Drawing, area: Frame, verified: bool) -> None:
    items: list[tuple[str, str, Any]] = [
        ("infeasible", "breaks a constraint", "circle"),
        ("feasible", "feasible", "circle"),
        ("frontpoint", "Pareto front", "circle"),
        ("static", "static", "square"),
    ]
    if verified:
        items += [("staticmeasured", "static on test", "square"), ("predicted", "predicted", "diamond"),
                  ("measured", "measured on test", "diamond")]  # fmt: skip
    x = area.left
    for kind, label, shape in items:
        drawing.add(Dot(kind, x + 6, 14, 5, shape=shape), Text("tick", x + 16, 18, label))
        x += 27 + 6.6 * len(label)


def cloud_data(chosen: Chosen) -> dict[str, Sequence[Any]]:
    """What a page needs to tell of any drawn point, as flat lists."""
    cloud = chosen.cloud
    return {
        "genome": [genome.ravel().tolist() for genome in cloud.genomes],
        "feasible": cloud.feasible.astype(int).tolist(),
        "accuracy": np.round(100 * cloud.accuracy, 2).tolist(),
        **{m.field: _short(getattr(cloud, m.field) * m.factor) for m in MEASURES},
        "count": chosen.stands_for.tolist(),
    }


def _short(values: npt.NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]
