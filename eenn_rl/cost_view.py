"""Costs as a person reads them: tables of layers, exits, and where the energy goes."""

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.console import Console, RenderableType
from rich.table import Table

from eenn_rl.cost import CostReport, LayerCost
from eenn_rl.hardware import AcceleratorSpec

WIDTH = 110


def text_of(*parts: RenderableType) -> str:
    """Rich output as plain text, names in a user's files as they are."""
    console = Console(file=StringIO(), width=WIDTH, highlight=False, markup=False, emoji=False)
    for part in parts:
        console.print(part)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined,no-any-return]


def quantity(value: float, unit: str) -> str:
    """A value with an SI prefix: 0.0000042 J is ``4.20 uJ``."""
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n")):
        if abs(value) >= 0.9995 * scale:  # what rounds to 1 of it
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value / 1e-12:.3g} p{unit}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 2 else "right", overflow="fold")
    return table


def _add_layer(table: Table, cost: LayerCost) -> None:
    cycles = "-" if cost.latency_cycles is None else f"{cost.latency_cycles:,.0f}"
    table.add_row(
        cost.name, cost.core, f"{cost.macs:,}", cycles, quantity(cost.latency_s, "s"), quantity(cost.energy_j, "J"),
        f"{cost.utilization:.1%}",
    )  # fmt: skip


_LAYER_COLUMNS = ("layer", "core", "MACs", "cycles", "latency", "energy", "array in use")


def layers_table(costs: Sequence[LayerCost], spec: AcceleratorSpec) -> str:
    """Layers alone, their sum, and where the energy goes."""
    table = _table(f"Layers on {spec.name}, each alone", *_LAYER_COLUMNS)
    for cost in costs:
        _add_layer(table, cost)
    table.add_section()
    cycles = [cost.latency_cycles for cost in costs]
    known = [c for c in cycles if c is not None]
    total = f"{sum(known):,.0f}" if len(known) == len(cycles) else "-"
    table.add_row(
        "total", "", f"{sum(c.macs for c in costs):,}", total, quantity(sum(c.latency_s for c in costs), "s"),
        quantity(sum(c.energy_j for c in costs), "J"), "",
    )  # fmt: skip
    return text_of(table, "", *energy_parts(costs))


def energy_by_memory(costs: Iterable[LayerCost]) -> dict[str, float]:
    """Energy (J) by memory level and unit, of all `costs`; empty where the backend does not break it down."""
    places: dict[str, float] = {}
    for cost in costs:
        for place, joules in cost.energy_j_by_memory.items():
            places[place] = places.get(place, 0.0) + joules
    return places


def energy_parts(costs: Iterable[LayerCost]) -> tuple[Table, ...]:
    """Energy by memory level and unit: a table, or none where the backend does not break it down."""
    places = energy_by_memory(costs)
    if not places:
        return ()
    total = sum(places.values()) or 1.0
    table = _table("Where the energy goes", "memory or unit", "", "energy", "share")
    for place, joules in sorted(places.items(), key=lambda item: -item[1]):
        table.add_row(place, "#" * round(40 * joules / total), quantity(joules, "J"), f"{joules / total:.1%}")
    return (table,)


def network_table(report: CostReport, spec: AcceleratorSpec) -> str:
    """Exits, stages by layer, where the energy goes, memory, and what does not fit."""
    exits = _table(f"A sample that leaves at an exit, on {spec.name}", "exit", "", "latency", "energy")
    for place, cost in enumerate(report.exits):
        exits.add_row(str(place), "", quantity(cost.latency_s, "s"), quantity(cost.energy_j, "J"))
    parts: list[RenderableType] = [exits, ""]
    layers = [layer for stage in report.stages for layer in (*stage.layers, *stage.branch_layers)]
    for place, stage in enumerate(report.stages):
        table = _table(f"Stage {place}", *_LAYER_COLUMNS)
        for layer in stage.layers:
            _add_layer(table, layer)
        table.add_section()
        for layer in stage.branch_layers:
            _add_layer(table, layer)
        parts += [table, ""]
    parts += [part for table in energy_parts(layers) for part in (table, "")]
    if report.peak_memory_bytes:
        memory = _table("Memory at its fullest", "memory", "", "bytes")
        for name, amount in report.peak_memory_bytes.items():
            memory.add_row(name, "", f"{amount:,.0f}")
        parts += [memory, ""]
    parts += [f"does not fit: {violation}" for violation in report.violations] or ["everything fits"]
    return text_of(*parts)
