"""Single figures of a run as files, for papers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from eenn_rl.report.drawing import Drawing
from eenn_rl.report.energy import energy_figure, rates_figure
from eenn_rl.report.front import MEASURES, choose, front_figure
from eenn_rl.report.gathered import RunReport
from eenn_rl.report.network import strip_figure
from eenn_rl.report.png import save
from eenn_rl.report.search_figures import curve_figure, preference_figure, shares_figure
from eenn_rl.report.sections import run_name
from eenn_rl.report.svg import render
from eenn_rl.report.timeline import timeline_figure


def figures_of(run: RunReport) -> Iterator[tuple[str, Drawing]]:
    """Every figure of a run's report, by name."""
    if len(run.logged.cloud):
        chosen = choose(run.logged.cloud)
        for measure in MEASURES:
            yield f"front-{measure.field}", front_figure(run, chosen, measure)
        search = run.logged.search
        yield "search-curve", curve_figure([(run_name(run), search)])
        yield "search-shares", shares_figure(search)
        for what, (names, shares) in search.preferences.items():
            yield f"search-{what.replace(' ', '-')}", preference_figure(what, names, shares, search.evaluations)
    for number, card in enumerate(run.cards, start=1):
        verified = card.verified
        yield f"network-{number}", strip_figure(card.architecture, run.accelerator, verified)
        yield f"rates-{number}", rates_figure(verified.predicted.exit_rates, verified.measured.exit_rates)
        if card.costs:
            timeline, energy = timeline_figure(card.costs, run.accelerator), energy_figure(card.costs[-1])
            yield from ((f"{name}-{number}", d) for name, d in (("timeline", timeline), ("energy", energy)) if d)


def write_figures(run: RunReport, folder: Path, kind: Literal["svg", "png"]) -> list[Path]:
    """Write every figure of `run` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, drawing in figures_of(run):
        path = folder / f"{name}.{kind}"
        if kind == "svg":
            path.write_text(render(drawing, name, standalone=True), encoding="utf-8")
        else:
            save(drawing, path)
        written.append(path)
    return written
