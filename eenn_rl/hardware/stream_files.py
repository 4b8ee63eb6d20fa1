"""Stream's multi-core accelerator files: cores by reference or inline, links and buses, the off-chip controller."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from eenn_rl.errors import InputFileError
from eenn_rl.hardware.accelerator import AcceleratorSpec, LinkSpec
from eenn_rl.hardware.core import ArrayDimension, CoreSpec, Precision
from eenn_rl.hardware.memory import DramSpec, MemorySpec, PortSpec, Traffic
from eenn_rl.hardware.zigzag_files import PICO, dram_of, is_core, read_core, split_dram
from eenn_rl.serialization import read_yaml

AIE_ARRAY = (ArrayDimension("D1", 8), ArrayDimension("D2", 8), ArrayDimension("D3", 4))
"""An AI Engine tile: 256 8-bit MACs per cycle (AMD, AIE-ML architecture manual AM020)."""


def is_stream(data: Any) -> bool:
    """Whether `data` is a multi-core accelerator in Stream's format."""
    return isinstance(data, dict) and "cores" in data and ("core_connectivity" in data or "offchip_core_id" in data)


def read_stream(data: dict[str, Any], source: str, folder: Path, clock_hz: float) -> AcceleratorSpec:
    """A multi-core accelerator from a Stream file in `folder`."""
    notes: list[str] = []
    offchip = data.get("offchip_core_id")
    cores: dict[int, CoreSpec] = {}
    dram: DramSpec | None = None
    for number, entry in data["cores"].items():
        described, where = _described(entry, source, folder)
        if number == offchip:
            dram = _dram(described, where, notes)
            continue
        core = _core(described, f"core{number}", where, clock_hz, notes)
        if core is not None:
            cores[number] = core
    cores = _without_inner_dram(cores, dram)
    notes += [f"{source}: {key} is not modelled" for key in data if key not in _KNOWN]
    links = _links(data, cores, notes, source)
    compute = [place for place, core in enumerate(cores.values()) if core.kind == "compute"]
    group = (tuple(compute),) if len(compute) > 1 else ()
    return AcceleratorSpec(
        str(data.get("name", "stream")), tuple(cores.values()), links, dram,
        (*((place,) for place in compute), *group), clock_hz, source=source,
        description="a multi-core accelerator in Stream's format", notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


_KNOWN = {
    "name", "cores", "offchip_core_id", "unit_energy_cost", "core_connectivity", "core_memory_sharing",
    "core_coordinates", "technology_node", "memory_aliases", "clock_hz",
}  # fmt: skip


def _described(entry: Any, source: str, folder: Path) -> tuple[dict[str, Any], str]:
    """A core's description: inline, or in a file beside the accelerator's."""
    if isinstance(entry, dict):
        return entry, source
    name = Path(str(entry))
    places = [folder / name, folder / "cores" / name.name, folder / name.name]
    for place in places:
        if place.is_file():
            data = read_yaml(place)
            if isinstance(data, dict):
                return data, str(place)
    raise InputFileError(
        f"{source}: cores: expected the core file {entry!r} in {folder} or its folder cores, found none"
    )


def _core(data: dict[str, Any], name: str, where: str, clock_hz: float, notes: list[str]) -> CoreSpec | None:
    kind = str(data.get("type", "compute"))
    if kind.endswith(("memory", "offchip", "shim")):
        notes.append(f"{where}: a core that is only a memory is not modelled: its cores reach the DRAM directly")
        return None
    if is_core(data):
        return read_core(data, name, where, clock_hz, notes)
    if "memory" in data:
        notes.append(f"{where}: an AI Engine tile: costed as 256 MACs per cycle without energies, kernels not modelled")
        return _tile(data["memory"], name, where, clock_hz)
    raise InputFileError(f"{where}: expected a core with memories and operational_array, found keys {', '.join(data)}")


def _tile(memory: dict[str, Any], name: str, where: str, clock_hz: float) -> CoreSpec:
    outward = (Traffic("input", "to_low"), Traffic("weight", "to_low"), Traffic("output", "to_low"),
               Traffic("output", "to_high"))  # fmt: skip
    inward = (Traffic("input", "from_high"), Traffic("weight", "from_high"), Traffic("output", "from_high"),
              Traffic("output", "from_low"))  # fmt: skip
    low, high = int(memory["bandwidth_min"]), int(memory["bandwidth_max"])
    ports = (PortSpec("r", "read", low, high, outward), PortSpec("w", "write", low, high, inward))
    names = tuple(dimension.name for dimension in AIE_ARRAY)
    spec = MemorySpec("l1", int(memory["capacity"]), 0.0, 0.0, ("input", "weight", "output"), ports, names)
    return CoreSpec(name, "compute", AIE_ARRAY, (spec,), (Precision(8, 0.0), Precision(16, 0.0, 0.25)), clock_hz,
                    partial_sum_bits=32, source=where)  # fmt: skip


def _dram(data: dict[str, Any], where: str, notes: list[str]) -> DramSpec:
    if is_core(data):
        return dram_of(read_core({**data, "operational_array": _UNITS}, "offchip", where, 1e9, notes).memories[-1])
    memory = data["memory"]
    notes.append(f"{where}: names no energy per access: off-chip traffic costs time only")
    return DramSpec(int(memory["bandwidth_max"]), int(memory["bandwidth_min"]), 0.0, 0.0, int(memory["capacity"]))


_UNITS = {"dimensions": ["D1", "D2"], "sizes": [1, 1]}
"""An off-chip controller computes nothing; its file gives an array of no units."""


def _without_inner_dram(cores: dict[int, CoreSpec], dram: DramSpec | None) -> dict[int, CoreSpec]:
    """Cores without a DRAM level of their own: the accelerator's is shared."""
    if dram is None:
        return cores
    return {number: replace(core, memories=split_dram(core.memories)[0]) for number, core in cores.items()}


def _links(data: dict[str, Any], cores: dict[int, CoreSpec], notes: list[str], source: str) -> tuple[LinkSpec, ...]:
    default = float(data.get("unit_energy_cost") or 0.0)
    links: list[LinkSpec] = []
    for place, entry in enumerate(data.get("core_connectivity") or ()):
        members = [cores[number].name for number in entry["cores"] if number in cores]
        width = int(entry["bandwidth"])
        energy = float(entry.get("unit_energy_cost", default)) * PICO / width
        medium = f"bus{place}" if entry.get("type", "link") == "bus" else ""
        links += [LinkSpec(a, b, width, energy, medium=medium) for a, b in combinations(members, 2)]
    for text in data.get("core_memory_sharing") or ():
        members = [cores[int(part)].name for part in str(text).split(",") if int(part) in cores]
        notes.append(f"{source}: core_memory_sharing {text}: modelled as a link of the shared memory's width")
        width = max(port.bandwidth_bits for core in cores.values() for port in core.memories[-1].ports)
        links += [LinkSpec(a, b, width) for a, b in combinations(members, 2)]
    return tuple(links)
