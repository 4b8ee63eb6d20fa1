"""Single figures of a run as files, for papers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from eenn_rl.report.drawing import Drawing
from eenn_rl.report.energy import energy_figure, memories_of, rates_figure
from eenn_rl.report.front import MEASURES, choose, front_figure
from eenn_rl.report.gathered import RunReport
from eenn_rl.report.logged import Preferences
from eenn_rl.report.network import strip_figure
from eenn_rl.report.png import save
from eenn_rl.report.search_figures import curve_figure, entropy_figure, preference_figure, shares_figure
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
        yield from _preferences("search", search.preferences, search.evaluations)
        if search.policy is not None:
            yield "policy-entropy", entropy_figure(search.policy)
            yield from _preferences("policy", search.policy.preferences, search.policy.windows)
    memories = memories_of(card.cost for card in run.cards if card.cost)
    for number, card in enumerate(run.cards, start=1):
        verified = card.verified
        yield f"network-{number}", strip_figure(card.architecture, run.accelerator, verified)
        yield f"rates-{number}", rates_figure(verified.predicted.exit_rates, verified.measured.exit_rates)
        if card.cost:
            timeline = timeline_figure(card.cost.exits, card.timelines, run.accelerator)
            energy = energy_figure(card.cost, memories)
            yield from ((f"{name}-{number}", d) for name, d in (("timeline", timeline), ("energy", energy)) if d)


def _preferences(
    who: str, preferences: Preferences, evaluations: npt.NDArray[np.int64]
) -> Iterator[tuple[str, Drawing]]:
    for what, (names, shares) in preferences.items():
        yield f"{who}-{what.replace(' ', '-')}", preference_figure(what, names, shares, evaluations)


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
