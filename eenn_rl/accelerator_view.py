"""Accelerators as a person reads them: ``eenn-rl accelerators [NAME]``."""

from rich.console import RenderableType
from rich.table import Table

from eenn_rl.cost_view import quantity, text_of
from eenn_rl.hardware import AcceleratorSpec, CoreSpec, load_accelerator, shipped_accelerators


def accelerators_text(name: str | None = None) -> str:
    """The list of shipped accelerators, or one accelerator (shipped or a file) in full."""
    return _list() if name is None else describe(load_accelerator(name))


def _list() -> str:
    table = Table(title="Shipped accelerators", title_justify="left", title_style="bold")
    for column in ("name", "cores", "allocations", "bits", "what it is"):
        table.add_column(column, overflow="fold")
    for name in shipped_accelerators():
        spec = load_accelerator(name)
        bits = sorted({bits for index in range(len(spec.allocations)) for bits in spec.allocation_bits(index)})
        table.add_row(
            name, str(len(spec.cores)), str(len(spec.allocations)), ", ".join(map(str, bits)), spec.description
        )
    return text_of(
        table, "", "More about one: eenn-rl accelerators NAME (or a YAML file of ours, ZigZag's or Stream's)"
    )


def describe(spec: AcceleratorSpec) -> str:
    """One accelerator in full: cores, memories, links, allocations, policies, sources."""
    parts: list[RenderableType] = [f"{spec.name}: {spec.description}", f"source: {spec.source}", "", _cores(spec), ""]
    seen: set[tuple[object, ...]] = set()
    for core in spec.cores:
        make = (core.array, core.memories)
        if make not in seen:
            seen.add(make)
            twins = [other.name for other in spec.cores if (other.array, other.memories) == make]
            parts += [_memories(core, ", ".join(twins)), *([f"  source: {core.source}"] if core.source else []), ""]
    parts += [_links(spec), "", _allocations(spec), "", *_policies(spec)]
    return text_of(*parts, *(f"not modelled: {note}" for note in spec.notes))


def _cores(spec: AcceleratorSpec) -> Table:
    table = Table(title="Cores", title_justify="left", title_style="bold")
    for column in ("core", "kind", "array", "dataflow", "clock", "bits: MAC energy, MACs per unit and cycle"):
        table.add_column(column, overflow="fold")
    for core in spec.cores:
        array = " x ".join(str(dimension.size) for dimension in core.array)
        bits = "; ".join(f"{p.bits}: {quantity(p.mac_energy_j, 'J')}, {p.throughput:g}" for p in core.precisions)
        clock = quantity(core.clock_hz, "Hz")
        if core.points:
            points = (f"{p.name} {p.voltage_v:g} V {quantity(p.clock_hz, 'Hz')}" for p in core.points)
            clock += f" ({', '.join(points)})"
        table.add_row(core.name, core.kind, array, _dataflows(core), clock, bits)
    return table


def _dataflows(core: CoreSpec) -> str:
    """What the core unrolls, by the layer kinds that it does so for."""
    lines = []
    for flow in core.dataflows:
        unrolled = ", ".join(f"{u.loop} {u.size}" for u in flow.unrolling) or "free"
        lines.append(f"{', '.join(flow.kinds)}: {unrolled}" if flow.kinds else unrolled)
    return "\n".join(lines) or "free"


def _memories(core: CoreSpec, names: str) -> Table:
    table = Table(title=f"Memories of {names}, innermost first", title_justify="left", title_style="bold")
    for column in ("memory", "size", "instances", "holds", "bits per cycle", "read", "write"):
        table.add_column(column, overflow="fold")
    for memory in core.memories:
        instances = 1
        for dimension in core.array:
            instances *= 1 if dimension.name in memory.served else dimension.size
        widths = ", ".join(sorted({f"{port.kind} {port.bandwidth_bits}" for port in memory.ports}))
        size = memory.size_bits / 8
        shown = f"{size / 1024:,.4g} KiB" if size >= 1024 else f"{size:g} B"
        table.add_row(
            memory.name, shown, str(instances), ", ".join(memory.operands), widths,
            quantity(memory.read_energy_j, "J"), quantity(memory.write_energy_j, "J"),
        )  # fmt: skip
    return table


def _links(spec: AcceleratorSpec) -> str:
    lines = [
        f"  {link.sender} {'<->' if link.both_ways else '->'} {link.receiver}: "
        f"{link.bandwidth_bits} bits per cycle, {quantity(link.energy_j_per_bit, 'J')} per bit"
        + (f", shared: {link.medium}" if link.medium else "")
        for link in spec.links
    ]
    if spec.dram is not None:
        lines.append(
            f"  DRAM: one port, {spec.dram.bandwidth_bits} bits per cycle at {quantity(spec.clock_hz, 'Hz')}, "
            f"{quantity(spec.dram.read_energy_j, 'J')} per read, {quantity(spec.dram.write_energy_j, 'J')} per write"
        )
    return "\n".join(("Links", *(lines or ["  none"])))


def _allocations(spec: AcceleratorSpec) -> str:
    lines = [
        f"  {index}: {spec.allocation_name(index)} at {', '.join(map(str, spec.allocation_bits(index)))} bits"
        for index in range(len(spec.allocations))
    ]
    return "\n".join(("Allocations (what a stage or branch may run on)", *lines))


def _policies(spec: AcceleratorSpec) -> list[str]:
    def yes(flag: bool) -> str:
        return "yes" if flag else "no"

    branch = "runs ahead where its cores are free" if spec.branch_policy == "speculate" else "waits for the verdict"
    return [
        f"activations stay on chip where they fit: {yes(spec.keep_activations_on_chip)}",
        f"weights that all fit stay on chip between inferences: {yes(spec.resident_weights)}",
        f"multicast: {yes(spec.multicast)}",
        f"at an exit the next stage {branch}",
    ]
