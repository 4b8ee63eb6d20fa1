"""``eenn-rl cost``: what layers or a network cost on an accelerator."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from eenn_rl.architecture_file import architecture_from_json
from eenn_rl.backbone import Backbone, Block, Layer
from eenn_rl.cost import CostReport, ExitCost, LayerCost
from eenn_rl.cost_target import (
    SPECIAL,
    accelerator_for,
    allocation_for,
    check_bits,
    check_core,
    placed,
    warn,
    with_mapping,
)
from eenn_rl.cost_view import energy_by_memory, layers_table, network_table
from eenn_rl.errors import check
from eenn_rl.guard import ask_backend
from eenn_rl.hardware import DEFAULT_ACCELERATOR, AcceleratorSpec, load_accelerator
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.layer_file import ListedLayer, parse_layers
from eenn_rl.onnx_file import read_onnx
from eenn_rl.plugins import default_accelerator, make_backend
from eenn_rl.schedule import macs_per_second
from eenn_rl.serialization import read_json, to_json
from eenn_rl.workload import Stage, Workload, workload_of

DEFAULT_BACKEND = "multicore"
DEFAULT_BITS = 8
"""Of an ONNX network that states none."""


@runtime_checkable
class LayerCosting(Protocol):
    """A backend that can cost a layer alone: operands from DRAM and back, nothing else in the way."""

    def cost_layer(self, layer: Layer, bits: int, core: int) -> LayerCost:
        """Cost `layer` at `bits` on core `core` (an index into the accelerator's cores)."""
        ...


def run_cost(
    file: Path | str, accelerator: str | None = None, backend: str | None = None, core: int | None = None,
    mapping: Path | str | None = None, as_json: bool = False, clock_hz: float | None = None, bits: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
) -> str:  # fmt: skip
    """What `file` (layers, an architecture, an ONNX network or an exported folder) costs, as a table or as JSON text.

    None for `accelerator` and `backend`: those that a folder was exported for; for files the usual backend, and the
    backend's own accelerator. `bits` are those of an ONNX network; None: those that it states, else 8. `input_shape`
    (channels, height, width) states sizes that it leaves free.
    """
    path = Path(file)
    for option, given in (("--bits", bits), ("--input-shape", input_shape)):
        known = given is None or path.suffix == ".onnx"
        check(known, option, given, "left out: only an ONNX network has none of its own")
    asked = _Asked(accelerator, clock_hz, mapping, core)
    if path.is_dir():
        return _exported(path, asked, backend, as_json=as_json)
    backend = backend or DEFAULT_BACKEND
    if path.suffix == ".onnx":
        return _onnx(path, asked, backend, bits, input_shape, as_json=as_json)
    data = read_json(path)
    if isinstance(data, list):
        return _layers(parse_layers(data, str(path)), asked, backend, as_json=as_json)
    architecture = architecture_from_json(_architecture(data), str(path))
    workload = workload_of(architecture)
    spec = asked.spec(lambda: default_accelerator(backend), _layers_of(workload))
    report = _report(backend, spec, architecture.backbone, placed(workload, spec, asked.core, f"{path}: "))
    return _network(report, spec, as_json=as_json)


@dataclass(frozen=True)
class _Asked:
    """What the user says of the hardware."""

    accelerator: str | None
    clock_hz: float | None
    mapping: Path | str | None
    core: int | None

    def spec(
        self, own: Callable[[], AcceleratorSpec], layers: Iterable[Layer], *, special: bool = True
    ) -> AcceleratorSpec:
        """The accelerator to cost `layers` on; `own` where the user names none."""
        spec = accelerator_for(self.accelerator, self.clock_hz, own)
        check_core(spec, self.core)
        return with_mapping(spec, self.mapping, layers, special=special)


def _layers(listed: tuple[ListedLayer, ...], asked: _Asked, backend: str, *, as_json: bool) -> str:
    """Layers, each alone."""
    layers = [entry.layer for entry in listed]
    spec = asked.spec(lambda: default_accelerator(backend), layers, special=asked.core is None)
    costs = cost_layers(listed, spec, backend, asked.core)
    return json.dumps({"layers": [layer_json(c) for c in costs]}, indent=2) if as_json else layers_table(costs, spec)


def _onnx(
    path: Path, asked: _Asked, backend: str, bits: int | None, input_shape: tuple[int, int, int] | None, *,
    as_json: bool,
) -> str:  # fmt: skip
    """An ONNX network, as one stage on one allocation."""
    layers, stated, notes = read_onnx(path, input_shape)
    if bits is None and stated is None:
        notes = (*notes, f"{path}: states no bits, costed at {DEFAULT_BITS}: --bits says otherwise")
    warn(notes)
    spec = asked.spec(lambda: default_accelerator(backend), layers)
    place = allocation_for(spec, asked.core)
    bits = bits or stated or DEFAULT_BITS
    check_bits(spec, place, bits, str(path))
    workload = Workload((Stage(layers, (), bits, place, place),))
    return _network(_report(backend, spec, _backbone(layers), workload), spec, as_json=as_json)


def _exported(folder: Path, asked: _Asked, backend: str | None, *, as_json: bool) -> str:
    """A network as ``eenn-rl export`` wrote it, costed from its graphs; by default on what it was exported for."""
    from eenn_rl.export_onnx import exported_workload

    manifest, workload = exported_workload(folder)
    spec = asked.spec(lambda: manifest.accelerator or load_accelerator(DEFAULT_ACCELERATOR), _layers_of(workload))
    backend = backend or manifest.backend or DEFAULT_BACKEND
    backbone = architecture_from_json(manifest.architecture, str(folder / "manifest.json")).backbone
    return _network(_report(backend, spec, backbone, placed(workload, spec, asked.core)), spec, as_json=as_json)


def _report(backend: str, spec: AcceleratorSpec, backbone: Backbone, workload: Workload) -> CostReport:
    return ask_backend(backend, make_backend(backend, spec, backbone), workload)


def _layers_of(workload: Workload) -> list[Layer]:
    return [layer for stage in workload.stages for layer in (*stage.layers, *stage.branch_layers)]


def _architecture(data: Any) -> Any:
    """The architecture itself, also out of what `show --json` prints: the best verified one, else the search's best."""
    if isinstance(data, dict):
        search = data.get("search")
        found = data.get("verified") or (search.get("candidates") if isinstance(search, dict) else None)
        if isinstance(found, list) and found:
            data = found[0]
    return data["architecture"] if isinstance(data, dict) and "architecture" in data else data


def _backbone(layers: Sequence[Layer]) -> Backbone:
    """A backbone of one block for loose layers."""
    first = layers[0]
    block = Block("layers", (replace(first, reads=()),))
    return Backbone("layers", (block,), (first.in_channels, *first.in_size), 2)


def cost_layers(
    listed: tuple[ListedLayer, ...], spec: AcceleratorSpec, backend: str, core: int | None
) -> tuple[LayerCost, ...]:
    """Each layer alone, on `core` or where its kind runs."""
    made = make_backend(backend, spec, _backbone([entry.layer for entry in listed]))
    if not isinstance(made, LayerCosting):
        place = allocation_for(spec, core)
        for entry in listed:
            check_bits(spec, place, entry.bits, f"layer {entry.layer.name!r}")
        return tuple(_asked(backend, made, entry, spec, place) for entry in listed)
    for entry in listed:
        where = spec.cores[_core_of(spec, entry.layer, core)]
        check(entry.bits in where.supported_bits, f"bits of layer {entry.layer.name!r}", entry.bits,
              f"those of core {where.name}, one of {where.supported_bits}")  # fmt: skip
    return tuple(made.cost_layer(e.layer, e.bits, _core_of(spec, e.layer, core)) for e in listed)


def _core_of(spec: AcceleratorSpec, layer: Layer, core: int | None) -> int:
    if core is not None:
        return core
    kind = SPECIAL.get(layer.kind, "compute")
    fitting = [index for index, one in enumerate(spec.cores) if one.kind == kind]
    return fitting[0] if fitting else spec.compute_cores[0]


def _asked(name: str, backend: HardwareBackend, entry: ListedLayer, spec: AcceleratorSpec, place: int) -> LayerCost:
    """A layer as a workload of one stage, for a backend that knows only those: all that its exit costs."""
    report = ask_backend(name, backend, Workload((Stage((entry.layer,), (), entry.bits, place, place),)))
    parts = [cost for stage in report.stages for cost in stage.layers]
    own = next((cost for cost in parts if cost.name == entry.layer.name), None)
    whole = report.exits[-1]
    if own is None:
        return _bare(whole, entry, spec, place)
    cores = [core for core in spec.cores if core.name == own.core] or [spec.cores[spec.allocations[place][0]]]
    cycles = whole.latency_s * cores[0].clock_hz if own.latency_cycles is not None else None
    share = own.latency_cycles / cycles if own.latency_cycles and cycles else 1.0
    return replace(
        own, latency_cycles=cycles, latency_s=whole.latency_s, energy_j=whole.energy_j,
        utilization=own.utilization * share, energy_j_by_memory=energy_by_memory(parts),
    )  # fmt: skip


def _bare(whole: ExitCost, entry: ListedLayer, spec: AcceleratorSpec, place: int) -> LayerCost:
    """A layer of which a backend tells what the exit costs, and no more."""
    cores = [spec.cores[core] for core in spec.allocations[place]]
    most = whole.latency_s * macs_per_second(cores, entry.bits)
    used = entry.layer.macs / most if most else 0.0
    return LayerCost(
        entry.layer.name, spec.allocation_name(place), None, whole.latency_s, whole.energy_j, entry.layer.macs, used, {}
    )


def layer_json(cost: LayerCost) -> dict[str, Any]:
    """One layer's cost as plain JSON data."""
    return {
        "name": cost.name,
        "core": cost.core,
        "latency_cycles": cost.latency_cycles,
        "latency_s": cost.latency_s,
        "energy_j": cost.energy_j,
        "macs": cost.macs,
        "utilization": cost.utilization,
        "energy_j_by_memory": dict(cost.energy_j_by_memory),
    }


def _network(report: CostReport, spec: AcceleratorSpec, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(report_json(report), indent=2)
    return network_table(report, spec)


def report_json(report: CostReport) -> dict[str, Any]:
    """A network's cost as plain JSON data."""
    return {
        "exits": [to_json(exit_) for exit_ in report.exits],
        "stages": [
            {
                "energy_j": stage.energy_j,
                "latency_s": stage.latency_s,
                "branch_energy_j": stage.branch_energy_j,
                "branch_latency_s": stage.branch_latency_s,
                "layers": [layer_json(layer) for layer in stage.layers],
                "branch_layers": [layer_json(layer) for layer in stage.branch_layers],
            }
            for stage in report.stages
        ],
        "violations": [to_json(violation) for violation in report.violations],
        "timeline": [to_json(span) for span in report.timeline],
        "peak_memory_bytes": dict(report.peak_memory_bytes) if report.peak_memory_bytes is not None else None,
    }
