"""The results of a run: `show` for a person, `results_json` for a program."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eenn_rl.broken import nothing_found_in
from eenn_rl.console import ResultConsole
from eenn_rl.results import Found, Measured, Predicted, Results, StaticResult, Verified
from eenn_rl.serialization import to_json
from eenn_rl.stored_run import StoredRun, open_run_or_log

if TYPE_CHECKING:
    from eenn_rl.evaluation import Evaluation
    from eenn_rl.evaluator import Evaluator


def results_json(run: StoredRun) -> dict[str, Any]:
    """The results as plain data; `phase` tells how far an unfinished run has come, `search` what the search found."""
    empty: dict[str, Any] = {"static": None, "static_best_bits": None, "verified": []}
    results, search = (to_json(item) if item else None for item in (run.results, run.found))
    return {"run": str(run.path), "phase": run.phase, **(results or empty), "search": search}


def show(path: Path) -> Path:
    """Print the results of the run in `path`, its folder or its log alone, to stdout; where its log is, or will be."""
    run = open_run_or_log(path)
    console = ResultConsole()
    settings = ((name, run.settings.get(name)) for name in SHOWN_SETTINGS)
    named = ", ".join(f"{name} {value}" for name, value in settings if value is not None)
    console.print(f"{path}: {named}", soft_wrap=True)
    if run.results is not None:
        console.print(results_view(run.results))
    elif run.found is not None:
        console.print(found_view(run.found))
        console.print(_without_results(run), soft_wrap=True)
    else:
        console.print(f"not finished, next phase: {run.phase}")
        console.print(f"continue it with: eenn-rl train --run {path} --resume", soft_wrap=True)
    return run.log


def _without_results(run: StoredRun) -> str:
    """What to say below the architectures of a search."""
    if run.alone:
        return run.alone
    if run.found and run.found.candidates:
        return f"a search result, not verified networks; verify with: eenn-rl verify {run.path}"
    return nothing_found_in(run.log)


def show_json(path: Path) -> None:
    """Print the results of the run in `path` as JSON."""
    ResultConsole().print_json(data=results_json(open_run_or_log(path)))


def show_log(log: Path) -> None:
    """Draw the learning curve and the Pareto front of a log, where there is one yet."""
    from eenn_rl.log_view import log_view

    if log.exists():
        ResultConsole().print(log_view(log))


def show_both(first: Path, second: Path) -> None:
    """Two runs: the results of each, and their searches side by side."""
    from eenn_rl.log_view import compare_view

    ResultConsole().print(compare_view(show(first), show(second)))


SHOWN_SETTINGS = ("backend", "accelerator", "backbone", "dataset", "seed")


def results_view(results: Results) -> RenderableType:
    """The table of predicted against measured, what failed, and what the architectures are."""
    table = _new_table("Predicted on validation, measured on test")
    for static, name in ((results.static, "static"), (results.static_best_bits, "static, best")):
        table.add_row(f"{name} {static.bits}b", *_static_cells(static, results.static))
    for rank, verified in enumerate(results.verified, start=1):
        table.add_section()
        table.add_row(f"#{rank} predicted", *_predicted_cells(verified.predicted))
        table.add_row(f"#{rank} measured", *_measured_cells(verified))
    space = _space_text(results.distinct_evaluations, results.space_size)
    architectures = (item.architecture for item in results.verified)
    return Group(space, table, *_described(architectures), *_remarks(results))


def found_view(found: Found) -> RenderableType:
    """The best architectures of a search, as predicted."""
    table = _new_table("Predicted on validation data; not trained in full, not measured on test")
    for predicted, name in ((found.static, "static"), (found.static_best_bits, "static, best")):
        table.add_row(name, *_predicted_cells(predicted))
    table.add_section()
    shown = found.candidates[:SHOWN_CANDIDATES]
    for rank, candidate in enumerate(shown, start=1):
        table.add_row(f"#{rank} predicted", *_predicted_cells(candidate.predicted))
    space = _space_text(found.distinct, found.space_size)
    return Group(space, table, *_described(candidate.architecture for candidate in shown))


SHOWN_CANDIDATES = 10


def show_proposals(evaluator: "Evaluator", proposals: Sequence["Evaluation"], *, as_json: bool) -> None:
    """Print architectures that a policy proposed, best first."""
    from eenn_rl.findings import proposal

    console = ResultConsole()
    found = [proposal(evaluation) for evaluation in proposals]
    if as_json:
        console.print_json(data={"proposals": to_json(found)})
        return
    table = _new_table("Predicted on validation data; not trained in full, not measured on test")
    for static, name in ((evaluator.static, "static"), (evaluator.static_best_bits, "static, best")):
        table.add_row(name, *_predicted_cells(proposal(static).predicted))
    table.add_section()
    for rank, item in enumerate(found, start=1):
        *cells, _ = _predicted_cells(item.predicted)
        table.add_row(f"#{rank}", *cells, "holds" if item.feasible else "missed")
    console.print(Group(table, *_described(item.architecture for item in found)))


def _space_text(distinct: int, size: int) -> Text:
    return Text(f"{distinct:,} distinct architectures evaluated of {size:,} ({Decimal(size):.3g}) in the space")


def _described(architectures: Iterable[dict[str, Any]]) -> list[Text]:
    """One line an architecture: each exit's block, branch, bits, and the allocations of stage and branch."""
    return [
        Text(f"#{rank}: " + " | ".join(_exit_text(exit_) for exit_ in architecture["exits"]))
        for rank, architecture in enumerate(architectures, start=1)
    ]


def _exit_text(exit_: dict[str, Any]) -> str:
    return "block {location} {branch} {bits}b on {core}/{branch_core}".format(**exit_)


COLUMNS = ("", "accuracy %", "exit rates %", "uJ", "us", "ELP nJ·s", "saved %", "bound")
"""Accuracy, share leaving at each exit, expected energy, latency and energy-latency product, and what that saves."""


def _new_table(title: str) -> Table:
    table = Table(title=title, title_justify="left", padding=(0, 0), pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("", "bound") else "right", no_wrap=True)
    return table


def _percent(values: tuple[float, ...]) -> str:
    return "/".join(f"{100 * value:.0f}" for value in values)


def _costs(result: StaticResult | Predicted | Measured) -> tuple[str, str, str]:
    """Expected energy in uJ, latency in us and energy-latency product in nJ s."""
    return f"{result.energy_j * 1e6:.3g}", f"{result.latency_s * 1e6:.3g}", f"{result.elp * 1e9:.3g}"


def _static_cells(result: StaticResult, static: StaticResult) -> tuple[str | Text, ...]:
    saved = f"{100 * (1 - result.elp / static.elp):.1f}"
    # The baseline keeps its own bound on accuracy; whether it keeps the others is worth a word where it does not.
    blank = not result.accuracy_floor or (result is static and not result.violations)
    verdict = "" if blank else _verdict(feasible=result.feasible)
    return (f"{100 * result.accuracy:.2f}", "100", *_costs(result), saved, verdict)


def _predicted_cells(result: Predicted) -> tuple[str, ...]:
    rates = _percent(result.exit_rates)
    return (f"{100 * result.accuracy:.2f}", rates, *_costs(result), f"{100 * result.elp_reduction:.1f}", "")


def _measured_cells(verified: Verified) -> tuple[str | Text, ...]:
    result = verified.measured
    half = 50 * (result.accuracy_interval[1] - result.accuracy_interval[0])
    saved = Text(f"{100 * verified.elp_reduction:.1f}", "bold")
    rates, verdict = _percent(result.exit_rates), _verdict(feasible=verified.feasible)
    return (f"{100 * result.accuracy:.2f}±{half:.2f}", rates, *_costs(result), saved, verdict)


def _verdict(*, feasible: bool) -> Text:
    return Text("holds", "green") if feasible else Text("missed", "red")


def _remarks(results: Results) -> list[Text]:
    lines = []
    for rank, verified in enumerate(results.verified, start=1):
        low, high = (100 * bound for bound in verified.measured.accuracy_difference_interval)
        saved = 100 * verified.elp_reduction_best_bits
        lines.append(
            f"#{rank}: {100 * verified.measured.accuracy_difference:+.2f} points against the static "
            f"{results.static.bits}-bit network (95% interval {low:+.2f} to {high:+.2f}); ELP {abs(saved):.1f}% "
            f"{'above' if saved < 0 else 'below'} the best static network of any bit-width "
            f"({results.static_best_bits.bits} bits)"
        )
        lines.extend(f"#{rank}: a constraint FAILS after training: {violation}" for violation in verified.violations)
    if results.static_best_bits.violations:
        broken = "; ".join(map(str, results.static_best_bits.violations))
        lines.append(f"no static network of any bit-width holds every constraint; the best of them: {broken}")
    return [Text(line) for line in (*lines, *_advice(results))]


def _advice(results: Results) -> list[str]:
    if not results.verified:
        help_ = "a larger --budget may help, or looser bounds (eenn-rl report RUN shows which were broken)"
        return [f"the search found no feasible network with early exits: {help_}"]
    if results.objective.get("minimise") == "elp" and all(item.elp_reduction <= 0 for item in results.verified):
        bits = results.static.bits
        return [f"no verified architecture saves anything on test: take the static {bits}-bit network, or another chip"]
    if results.verified[0].feasible:
        return []
    better = next((rank for rank, item in enumerate(results.verified, start=1) if item.feasible), None)
    if better is None:
        return ["no verified architecture holds every constraint: verify more with eenn-rl verify RUN --top N"]
    return [f"take #{better}: the first that holds every constraint"]
