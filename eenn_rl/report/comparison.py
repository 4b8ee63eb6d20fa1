"""Two or more runs side by side."""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from eenn_rl.report.cards import figure
from eenn_rl.report.drawing import PALETTE, Dot, Drawing, Text
from eenn_rl.report.front import MEASURES
from eenn_rl.report.gathered import RunReport
from eenn_rl.report.html import Markup, table, tag
from eenn_rl.report.logged import staircase
from eenn_rl.report.scales import frame, padded
from eenn_rl.report.search_figures import curve_figure, stepped
from eenn_rl.report.sections import run_name
from eenn_rl.report.svg import render
from eenn_rl.report.words import elp, percent, points


def comparison(runs: Sequence[RunReport]) -> Markup:
    """Their best side by side, their fronts and their learning curves on common axes."""
    names = _names(runs)
    rows = [_row(name, run) for name, run in zip(names, runs, strict=True)]
    head = ("run", "backbone, data set", "accelerator, backend", "evaluated", "ELP saved, estimated",
            "ELP saved, on test", "points", "ELP")  # fmt: skip
    curves = [(name, run.logged.search) for name, run in zip(names, runs, strict=True)]
    return tag(
        "section", tag("h1", f"{len(runs)} runs side by side"), table(head, rows),
        figure(render(fronts_figure(names, runs), "compare-fronts"),
               "Fronts of the feasible architectures, as estimated; diamonds are verified networks, measured on test."),
        figure(render(curve_figure(curves), "compare-curves"), "The best feasible architecture so far."),
        id="comparison",
    )  # fmt: skip


def _names(runs: Sequence[RunReport]) -> list[str]:
    """Names that differ."""
    plain = [run_name(run) for run in runs]
    return [f"{name} ({n})" if plain.count(name) > 1 else name for n, name in enumerate(plain, start=1)]


def _row(name: str, run: RunReport) -> tuple[object, ...]:
    config, best = run.config, run.logged.search.best
    estimate = float(best[-1]) if len(best) else float("nan")
    verified = run.results.verified if run.results else ()
    first = next((v for v in verified if v.feasible), verified[0] if verified else None)
    told = ("not verified", "", "") if first is None else (
        percent(first.elp_reduction) + ("" if first.feasible else " (misses a bound)"),
        points(first.measured.accuracy_difference), elp(first.measured.elp),
    )  # fmt: skip
    return (
        name, f"{config.get('backbone')}, {config.get('dataset')}", f"{run.accelerator.name}, {config.get('backend')}",
        f"{len(run.logged.cloud):,}", percent(estimate) if isfinite(estimate) else "none feasible", *told,
    )  # fmt: skip


def fronts_figure(names: Sequence[str], runs: Sequence[RunReport]) -> Drawing:
    """The fronts of several runs on common axes."""
    measure = MEASURES[0]
    drawing = Drawing(900, 430, "The runs' fronts: accuracy against energy-latency product", "A line per run.")
    fronts = []
    for run in runs:
        cloud = run.logged.cloud.take(np.flatnonzero(run.logged.cloud.feasible & run.logged.cloud.drawable))
        rows = staircase(cloud.accuracy, cloud.elp)
        fronts.append((100 * cloud.accuracy[rows], cloud.elp[rows] * measure.factor))
    marks = [
        [
            (100 * c.verified.measured.accuracy, c.verified.measured.elp * measure.factor)
            for c in run.cards
            if measure.drawable(c.verified.measured.elp)
        ]
        for run in runs
    ]
    xs = [float(v) for x, _ in fronts for v in x] + [x for row in marks for x, _ in row]
    ys = [float(v) for _, y in fronts for v in y] + [y for row in marks for _, y in row]
    area = frame(
        drawing, padded(xs or [0, 100]), padded(ys or [1.0], logarithmic=True), log_y=True, margins=(64, 34, 16, 48)
    )
    area.axes(drawing, "accuracy, %", f"{measure.label}, {measure.unit}")
    for index, (name, (x, y), row) in enumerate(zip(names, fronts, marks, strict=True)):
        colour = index % len(PALETTE)
        places = [(area.x(float(a)), area.y(float(b))) for a, b in zip(x, y, strict=True)]
        if len(places) > 1:
            drawing.line(f"s{colour}", stepped(places), tip=f"front of {name}")
            drawing.add(Text("small", places[0][0] - 4, places[0][1] - 6, name[:22], "end"))
        for a, b in row:
            tip = f"{name}, verified: accuracy {a:.2f}%, {b:.4g} {measure.unit}"
            drawing.add(Dot(f"c{colour}", area.x(a), area.y(b), 6, tip, focus=True, shape="diamond"))
        at = area.left + 180 * index
        drawing.line(f"s{colour}", [(at, 14), (at + 22, 14)])
        drawing.add(Text("tick", at + 28, 18, name[:22]))
    return drawing
