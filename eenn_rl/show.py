"""The results of a run: `show` for a person, `results_json` for a program."""

from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from eenn_rl.results import Measured, Predicted, Results, StaticResult, Verified
from eenn_rl.run_folder import RunFolder, open_run
from eenn_rl.serialization import from_json, read_json, to_json


def read_results(folder: RunFolder) -> Results | None:
    """What was verified; None while the run is not finished."""
    if not folder.results.exists():
        return None
    return from_json(Results, read_json(folder.results), str(folder.results))


def results_json(folder: RunFolder) -> dict[str, Any]:
    """The results as plain data; `phase` tells how far an unfinished run has come."""
    results = read_results(folder)
    empty: dict[str, Any] = {"static": None, "static_best_bits": None, "verified": []}
    return {"run": str(folder.path), "phase": folder.phase, **(to_json(results) if results else empty)}


def show(path: Path, *, as_json: bool = False) -> None:
    """Print the results of the run in `path` to stdout."""
    folder, config = open_run(path)
    if as_json:
        Console().print_json(data=results_json(folder))
        return
    console = Console(highlight=False)
    results = read_results(folder)
    if results is None:
        console.print(f"{path}: not finished, next phase: {folder.phase}")
        console.print(f"continue it with: eenn-rl train --run {path} --resume")
        return
    named = ", ".join(f"{key} {config[key]}" for key in ("backend", "accelerator", "backbone", "dataset", "seed"))
    console.print(f"{path}: {named}", soft_wrap=True)
    console.print(results_view(results))


def results_view(results: Results) -> RenderableType:
    """The table of predicted against measured, and what failed."""
    space = Text(
        f"{results.distinct_evaluations:,} distinct architectures evaluated of {results.space_size:,} "
        f"({results.space_size:.3g}) in the space"
    )
    return Group(space, _table(results), *_remarks(results))


def _table(results: Results) -> Table:
    table = Table(title="Measured on test; predicted by the estimator on validation", title_justify="left")
    for name in ("", "accuracy %", "exit rates %", "energy uJ", "latency us", "ELP nJ s", "ELP saved %", "bound"):
        table.add_column(name, justify="left" if name in ("", "bound") else "right")
    for static, name in ((results.static, "static"), (results.static_best_bits, "static, best bits")):
        table.add_row(f"{name} ({static.bits} bits)", *_static_cells(static, results.static))
    for rank, verified in enumerate(results.verified, start=1):
        table.add_section()
        table.add_row(f"#{rank} predicted", *_predicted_cells(verified.predicted))
        table.add_row(f"#{rank} measured", *_measured_cells(verified))
    return table


def _percent(values: tuple[float, ...]) -> str:
    return "/".join(f"{100 * value:.0f}" for value in values)


def _costs(result: StaticResult | Predicted | Measured) -> tuple[str, str, str]:
    """Expected energy in uJ, latency in us and energy-latency product in nJ s."""
    return f"{result.energy_j * 1e6:.3f}", f"{result.latency_s * 1e6:.2f}", f"{result.elp * 1e9:.5g}"


def _static_cells(result: StaticResult, static: StaticResult) -> tuple[str, ...]:
    saved = f"{100 * (1 - result.elp / static.elp):.1f}"
    return (f"{100 * result.accuracy:.2f}", "100", *_costs(result), saved, "")


def _predicted_cells(result: Predicted) -> tuple[str, ...]:
    rates = _percent(result.exit_rates)
    return (f"{100 * result.accuracy:.2f}", rates, *_costs(result), f"{100 * result.elp_reduction:.1f}", "")


def _measured_cells(verified: Verified) -> tuple[str, ...]:
    result = verified.measured
    half = 50 * (result.accuracy_interval[1] - result.accuracy_interval[0])
    saved = f"[bold]{100 * verified.elp_reduction:.1f}[/]"
    verdict = "[green]holds[/]" if verified.feasible else "[red]missed[/]"
    rates = _percent(result.exit_rates)
    return (f"{100 * result.accuracy:.2f} ± {half:.2f}", rates, *_costs(result), saved, verdict)


def _remarks(results: Results) -> list[Text]:
    lines = []
    for rank, verified in enumerate(results.verified, start=1):
        low, high = (100 * bound for bound in verified.measured.accuracy_difference_interval)
        lines.append(
            f"#{rank}: {100 * verified.measured.accuracy_difference:+.2f} points against the static 8-bit network "
            f"(95% interval {low:+.2f} to {high:+.2f}); ELP {100 * verified.elp_reduction_best_bits:.1f}% below the "
            f"best static network of any bit-width ({results.static_best_bits.bits} bits)"
        )
        lines.extend(f"#{rank}: a constraint FAILS after training: {violation}" for violation in verified.violations)
    return [Text(line) for line in (*lines, *_advice(results))]


def _advice(results: Results) -> list[str]:
    if not results.verified:
        return ["no feasible architecture was found: a larger --evaluations or --accuracy-tolerance may help"]
    if results.verified[0].feasible:
        return []
    better = next((rank for rank, item in enumerate(results.verified, start=1) if item.feasible), None)
    if better is None:
        return ["no verified architecture holds every constraint: verify more with eenn-rl verify RUN --top N"]
    return [f"take #{better}: the first that holds every constraint"]
