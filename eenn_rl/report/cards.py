"""The verified architectures, each on its own card."""

import base64
from collections.abc import Sequence
from math import isclose

from eenn_rl.cost import CostReport
from eenn_rl.report.energy import energy_figure, energy_parts, memories_of, rates_figure
from eenn_rl.report.gathered import Card, Example, RunReport
from eenn_rl.report.html import Markup, join, table, tag
from eenn_rl.report.network import strip_figure
from eenn_rl.report.png import image_bytes
from eenn_rl.report.svg import render
from eenn_rl.report.timeline import timeline_figure
from eenn_rl.report.words import elp, energy, latency, percent, percents, points
from eenn_rl.results import Measured

SAME = 1e-3
"""Relative difference of energies or latencies that is not worth a word: figures show three to four digits."""


def figure(svg: str, caption: object = "", *, wide: bool = True) -> Markup:
    """An SVG that scrolls on its own on a narrow screen, with a caption."""
    described = tag("figcaption", caption) if caption else ""
    return tag("figure", tag("div", Markup(svg), class_="scroll"), described, class_="wide" if wide else "narrow")


def card(run: RunReport, number: int, item: Card, prefix: str, memories: Sequence[str]) -> Markup:
    """Everything about one verified architecture; `memories` are in the order of their colours."""
    name = f"{prefix}-v{number}"
    verified = item.verified
    verdict = ("holds", "every bound holds") if verified.feasible else ("missed", "a bound is missed on test")
    headline = (
        f"#{number}: {percent(verified.elp_reduction)} of the energy-latency product saved, "
        f"{points(verified.measured.accuracy_difference)} points"
    )
    return tag(
        "article",
        tag("h3", headline, " ", tag("span", verdict[1], class_=f"badge {verdict[0]}")),
        *(tag("p", "Fails after training: ", tag("strong", str(v)), class_="warning") for v in verified.violations),
        figure(
            render(strip_figure(item.architecture, run.accelerator, verified), f"{name}-strip"),
            "Blocks are as wide as their work; colours are cores. Shares and thresholds as measured on test.",
        ),
        tag("div", _numbers(run, item), _rates(item, name), class_="columns"),
        _timeline(run, item, name),
        _energy(item, name, memories),
        _examples(item),
        id=name,
        class_="card",
    )


def _numbers(run: RunReport, item: Card) -> Markup:
    predicted, measured = item.verified.predicted, item.verified.measured
    low, high = measured.accuracy_interval
    below, above = measured.accuracy_difference_interval
    rows = [
        (
            "accuracy",
            percent(predicted.accuracy, 2),
            f"{percent(measured.accuracy, 2)} ({percent(low)} to {percent(high)})",
        ),
        ("against static, points", "", f"{points(measured.accuracy_difference)} ({points(below)} to {points(above)})"),
        ("exit rates", percents(predicted.exit_rates), percents(measured.exit_rates)),
        ("accuracy of each exit", "", percents(measured.exit_accuracies)),
        ("expected energy", energy(predicted.energy_j), energy(measured.energy_j)),
        ("expected latency", latency(predicted.latency_s), latency(measured.latency_s)),
        ("energy-latency product", elp(predicted.elp), elp(measured.elp)),
        (f"saved against the {run.reference}", percent(predicted.elp_reduction), percent(item.verified.elp_reduction)),
        ("saved against best static, any bits", "", percent(item.verified.elp_reduction_best_bits)),
        ("thresholds", "", " / ".join("off" if t > 1 else f"{t:.4g}" for t in item.verified.thresholds)),
    ]
    return table(("", "predicted", "on test (95% interval)"), rows)


def _rates(item: Card, name: str) -> Markup:
    drawing = rates_figure(item.verified.predicted.exit_rates, item.verified.measured.exit_rates)
    return figure(render(drawing, f"{name}-rates"), wide=False)


def _timeline(run: RunReport, item: Card, name: str) -> Markup:
    if item.cost is None:
        return tag("p", f"No timeline and no energies by memory: {item.why_no_cost}", class_="missing")
    changed = _changed(item.verified.measured, item.cost)
    drawing = timeline_figure(item.cost.exits, item.timelines, run.accelerator)
    if drawing is None:
        return join((changed, tag("p", "This backend tells no timeline.", class_="missing")))
    caption = (
        "Cores in time, for a sample that leaves at each exit: stages and their branches, each in a colour of its own."
    )
    return join((changed, figure(render(drawing, f"{name}-timeline"), caption)))


def _changed(measured: Measured, cost: CostReport) -> Markup:
    """A warning where the backend that is installed now answers otherwise than the run's did."""
    pairs = tuple(zip(measured.exit_rates, cost.exits, strict=True))
    energy_j = sum(rate * exit_.energy_j for rate, exit_ in pairs)
    latency_s = sum(rate * exit_.latency_s for rate, exit_ in pairs)
    if isclose(energy_j, measured.energy_j, rel_tol=SAME) and isclose(latency_s, measured.latency_s, rel_tol=SAME):
        return Markup("")
    told = (
        f"The installed backend expects {energy(energy_j)} in {latency(latency_s)}, the run's expected "
        f"{energy(measured.energy_j)} in {latency(measured.latency_s)}: the figures below are the installed one's."
    )
    return tag("p", told, class_="warning")


def _energy(item: Card, name: str, memories: Sequence[str]) -> Markup:
    if item.cost is None:
        return Markup("")
    drawing = energy_figure(item.cost, memories)
    if drawing is None:
        return tag("p", "This backend breaks energy down no further.", class_="missing")
    rows = [
        (part, *(f"{1e6 * found.get(memory, 0.0):.4g}" for memory in memories), f"{1e6 * sum(found.values()):.4g}")
        for part, found in energy_parts(item.cost)
    ]
    told = "Energy by stage and memory level, for a sample that runs all of it."
    summary = tag("summary", "The same as a table (\u00b5J)")
    return join(
        (
            figure(render(drawing, f"{name}-energy"), told),
            tag("details", summary, table(("", *memories, "sum"), rows)),
        )
    )


def _examples(item: Card) -> Markup:
    if item.why_no_examples:
        return tag("p", f"No example inputs: {item.why_no_examples}", class_="missing")
    rows = [
        tag(
            "div",
            tag("h4", f"leave at exit {k + 1}"),
            tag("div", *map(_example, chosen), class_="thumbs"),
            class_="exit",
        )
        for k, chosen in enumerate(item.examples)
        if chosen
    ]
    caption = "Test inputs by where they leave, the surest first: label, and whether the exit was right."
    return tag("div", tag("p", caption, class_="caption"), *rows, class_="examples")


def _example(example: Example) -> Markup:
    picture = base64.b64encode(image_bytes(example.pixels)).decode("ascii")
    verdict = "right" if example.right else "wrong"
    alt = f"test input of class {example.label}, classified {verdict}, at least {100 * example.confidence:.1f}% sure"
    mark = "" if example.right else " \u2717"
    return tag(
        "figure",
        Markup(f'<img alt="{alt}" src="data:image/png;base64,{picture}">'),
        tag("figcaption", f"{example.label}{mark}"),
        class_=verdict,
        data_tip=alt,
    )


def cards(run: RunReport, prefix: str) -> Markup:
    """All verified architectures of a run, or what to do to get some."""
    if not run.cards:
        advice = f"No network has been verified yet. Train the best in full with: eenn-rl verify {run.path}"
        if run.alone:
            advice = f"No verified networks: {run.alone}."
        return tag("p", run.nothing_found or advice, class_="missing")
    memories = memories_of(item.cost for item in run.cards if item.cost)
    return join(card(run, number, item, prefix, memories) for number, item in enumerate(run.cards, start=1))
