"""The sections of one run: what was found, the front, the networks, the search, where it all came from."""

import json
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.report.cards import cards, figure
from eenn_rl.report.front import MEASURES, Chosen, choose, cloud_data, front_figure
from eenn_rl.report.gathered import RunReport
from eenn_rl.report.html import Markup, join, table, tag
from eenn_rl.report.logged import Policy, Preferences
from eenn_rl.report.provenance import provenance
from eenn_rl.report.search_figures import curve_figure, entropy_figure, preference_figure, shares_figure
from eenn_rl.report.svg import render
from eenn_rl.report.words import elp, energy, genome_text, latency, names_of, percent, points
from eenn_rl.results import StaticResult

ROWS = 60
"""Rows of the front's table; its figure has all of them."""


def run_sections(run: RunReport, prefix: str) -> Markup:
    """Everything about one run; `prefix` begins every id."""
    chosen = choose(run.logged.cloud)
    return join(
        (
            _headline(run, prefix),
            _front_section(run, chosen, prefix),
            tag("section", tag("h2", "Verified networks"), cards(run, prefix), id=f"{prefix}-verified"),
            _search_section(run, prefix),
            provenance(run, prefix),
            _data(run, chosen, prefix),
        )
    )


def run_name(run: RunReport) -> str:
    """How a run is called."""
    return run.path.resolve().name


def _tile(value: object, label: object) -> Markup:
    return tag("div", tag("b", value), tag("span", label), class_="tile")


def _against_best_static(saved: float, bits: int) -> Markup:
    static = f"the best static network of any bit-width ({bits} bits)"
    if saved < 0:
        return _tile(percent(-saved), f"more energy-latency product than {static}")
    return _tile(percent(saved), f"saved against {static}")


def _headline(run: RunReport, prefix: str) -> Markup:
    config, logged, results = run.config, run.logged, run.results
    said = ", ".join(f"{key} {config[key]}" for key in ("backbone", "dataset", "backend", "seed") if key in config)
    tiles = []
    if results and results.verified:
        best = next((v for v in results.verified if v.feasible), results.verified[0])
        tiles += [
            _tile(percent(best.elp_reduction), "energy-latency product saved, measured on test"),
            _tile(points(best.measured.accuracy_difference), "points of accuracy against the static network"),
            _against_best_static(best.elp_reduction_best_bits, results.static_best_bits.bits),
        ]
    tiles.append(_tile(f"{len(logged.cloud):,}", "distinct architectures evaluated"))
    if len(logged.cloud):
        tiles.append(_tile(percent(float(logged.cloud.feasible.mean())), "of these feasible"))
    if results:
        tiles.append(_tile(f"{Decimal(results.space_size):.3g}", "in the search space"))
    return tag(
        "section", tag("h1", f"Run {run_name(run)}"),
        tag("p", f"{said}, accelerator {run.accelerator.name}", class_="lead"),
        tag("div", *tiles, class_="tiles"), _statics_table(run), id=prefix,
    )  # fmt: skip


def _statics_table(run: RunReport) -> Markup:
    if run.results is None:
        told = f"Of its log alone: {run.alone}." if run.alone else f"This run is not finished; next phase: {run.phase}."
        return Markup("") if run.nothing_found else tag("p", told, class_="missing")
    rows = [
        (f"static network, {title}{static.bits} bits" + _missed(static),
         percent(static.accuracy, 2), energy(static.energy_j), latency(static.latency_s), elp(static.elp))
        for title, static in (("", run.results.static), ("best bits: ", run.results.static_best_bits))
    ]  # fmt: skip
    rows += [
        (f"#{n}" + ("" if v.feasible else " (misses a bound)"), percent(v.measured.accuracy, 2),
         energy(v.measured.energy_j), latency(v.measured.latency_s), elp(v.measured.elp))
        for n, v in enumerate(run.results.verified, start=1)
    ]  # fmt: skip
    return table(("measured on test", "accuracy", "energy", "latency", "energy-latency product"), rows)


def _missed(static: StaticResult) -> str:
    if static.feasible:
        return ""
    return " (misses a bound)" if static.accurate else " (misses the bound on accuracy)"


def _front_section(run: RunReport, chosen: Chosen, prefix: str) -> Markup:
    if not len(chosen.cloud):
        told = f"Nothing to draw:{_costless(chosen)}" if chosen.total else "Nothing is logged yet."
        return tag("section", tag("h2", "Accuracy against cost"), tag("p", told, class_="missing"))
    switches: list[object] = []
    plots = []
    for measure in MEASURES:
        name = f"{prefix}-y-{measure.field}"
        checked = Markup(" checked") if measure is MEASURES[0] else Markup("")
        switches.append(Markup(f'<input type="radio" name="{prefix}-y" id="{name}" value="{measure.field}"{checked}>'))
        switches.append(tag("label", measure.label, for_=name))
        svg = render(front_figure(run, chosen, measure), f"{prefix}-front-{measure.field}")
        plots.append(tag("div", tag("div", Markup(svg), class_="scroll"), class_=f"plot {measure.field}"))
    note = (
        f"{_drawn(chosen)} {_constraints(run)} Accuracy is the estimator's, on validation; arrows lead from "
        "there to what full training measured on test, with its 95% interval. With the keyboard: Tab to the figure, "
        "then arrow keys."
    )
    return tag(
        "section", tag("h2", "Accuracy against cost"),
        tag("div", *switches, tag("div", *plots, class_="plots"), class_="switch"), tag("p", note, class_="caption"),
        _front_table(run, chosen), id=f"{prefix}-front",
    )  # fmt: skip


def _drawn(chosen: Chosen) -> str:
    """How many of the architectures the figure shows, and why not the others."""
    shown, known = len(chosen.cloud), chosen.total - chosen.costless
    if shown < known:
        return (
            f"{shown:,} of {known:,} distinct architectures are drawn: one for each cell of a grid over the figure, by "
            f"feasibility; the front is complete. A mark tells how many share its cell.{_costless(chosen)}"
        )
    if chosen.costless:
        return f"{shown:,} of {chosen.total:,} distinct architectures of the log are drawn.{_costless(chosen)}"
    return f"All {shown:,} distinct architectures of the log are drawn."


def _costless(chosen: Chosen) -> str:
    """What is left out of figures of costs, as a further sentence; empty where nothing is."""
    if not chosen.costless:
        return ""
    return f" {chosen.costless:,} of {chosen.total:,} have no finite cost above 0, as where the backend failed."


def _constraints(run: RunReport) -> str:
    """What a feasible architecture keeps to, in a sentence."""
    objective = run.objective
    tolerance = 100 * objective.accuracy_tolerance
    parts = [
        f"at most {tolerance:g} point{'' if tolerance == 1 else 's'} below the {run.reference} (and a reserve)",
        f"the path to the last exit at most {100 * objective.overhead:g}% dearer in energy and in latency",
        f"every exit used by at least {100 * objective.min_exit_rate:g}% of the inputs",
    ]
    if objective.deadline_s is not None:
        parts.append(f"the worst case within {latency(objective.deadline_s)}")
    if objective.memory_bytes is not None:
        parts.append(f"all weights within {objective.memory_bytes:,.0f} bytes")
    return f"Feasible: {'; '.join(parts)}."


def _front_table(run: RunReport, chosen: Chosen) -> Markup:
    blocks, cores = names_of(run.backbone, run.accelerator)
    cloud, rows = chosen.cloud, chosen.fronts["elp"].tolist()
    told = [
        (percent(cloud.accuracy[row], 2), elp(cloud.elp[row]), energy(cloud.energy_j[row]),
         latency(cloud.latency_s[row]), genome_text(cloud.genomes[row].tolist(), blocks, run.branches, cores))
        for row in rows[:ROWS]
    ]  # fmt: skip
    more = f", the first {ROWS}" if len(rows) > ROWS else ""
    head = ("accuracy", "ELP", "energy", "latency", "architecture (block: branch, bits, stage's core / branch's core)")
    title = f"The front of accuracy and energy-latency product as a table ({len(rows)} architectures{more})"
    return tag("details", tag("summary", title), table(head, told))


def _search_section(run: RunReport, prefix: str) -> Markup:
    search = run.logged.search
    if not len(search.evaluations):
        return Markup("")
    return tag(
        "section", tag("h2", "The search"),
        figure(render(curve_figure([(run_name(run), search)]), f"{prefix}-curve"),
               f"The best feasible architecture so far, as estimated, against the {run.reference}."),
        figure(render(shares_figure(search), f"{prefix}-shares"),
               "By windows of the search: how much of what was proposed was feasible, how varied the choices were."),
        _policy(search.policy, prefix),
        tag("h3", "What was chosen, as the whole search went on"),
        _preferences(search.preferences, search.evaluations, f"{prefix}-prefer"),
        tag("h3", "Constraints that were broken"), _broken(run), id=f"{prefix}-search",
    )  # fmt: skip


def _policy(policy: Policy | None, prefix: str) -> Markup:
    if policy is None:
        return tag("p", "No policy was trained in this search, or its log does not tell.", class_="missing")
    return join(
        (
            tag("h3", "The policy"),
            figure(render(entropy_figure(policy), f"{prefix}-entropy"),
                   "The policy's entropy at each of its updates: the lower, the more decided it has become."),
            tag("h3", "What the policy has come to prefer"),
            _preferences(policy.preferences, policy.windows, f"{prefix}-policy"),
        )
    )  # fmt: skip


def _preferences(preferences: Preferences, evaluations: npt.NDArray[np.int64], name: str) -> Markup:
    figures = [
        figure(render(preference_figure(what, names, shares, evaluations), f"{name}{number}"), wide=False)
        for number, (what, (names, shares)) in enumerate(preferences.items())
    ]
    return tag("div", *figures, class_="grid")


def _broken(run: RunReport) -> Markup:
    total = max(1, len(run.logged.cloud))
    rows = [
        (name.replace("_", " "), f"{count:,}", percent(count / total))
        for name, count in sorted(run.logged.broken.items(), key=lambda item: -item[1])
        if count
    ]
    parts = [table(("constraint", "architectures", "share"), rows) if rows else tag("p", "None.")]
    if run.logged.failures:
        parts.append(tag("h3", "Failures of the backend"))
        parts.append(table(("reason", "episodes"), [(reason, f"{count:,}") for reason, count in run.logged.failures]))
    return join(parts)


def _data(run: RunReport, chosen: Chosen, prefix: str) -> Markup:
    blocks, cores = names_of(run.backbone, run.accelerator)
    data = {
        **cloud_data(chosen),
        "blocks": blocks,
        "cores": cores,
        "branches": list(run.branches),
        "exits": int(run.logged.cloud.genomes.shape[1]),
        "measures": [[m.field, m.unit] for m in MEASURES],
    }
    return tag("script", script_json(data), type="application/json", id=f"{prefix}-data")


def script_json(data: Any) -> Markup:
    """JSON that may stand within a script element: no text in it can end the element."""
    plain = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
