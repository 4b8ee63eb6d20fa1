"""``eenn-rl cost``: what layers or a network cost on an accelerator."""

import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from eenn_rl.architecture_file import architecture_from_json
from eenn_rl.backbone import Backbone, Block, Layer
from eenn_rl.cost import CostReport, LayerCost
from eenn_rl.cost_view import layers_table, network_table
from eenn_rl.errors import check
from eenn_rl.guard import ask_backend
from eenn_rl.hardware import DEFAULT_ACCELERATOR, AcceleratorSpec, load_accelerator
from eenn_rl.hardware.zigzag_files import read_mapping
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.layer_file import ListedLayer, parse_layers
from eenn_rl.onnx_file import read_onnx
from eenn_rl.plugins import default_accelerator, make_backend
from eenn_rl.serialization import read_json, read_yaml, to_json
from eenn_rl.workload import Stage, Workload, workload_of

DEFAULT_BACKEND = "multicore"
DEFAULT_BITS = 8
"""Of an ONNX network that states none."""
_LOG = logging.getLogger(__name__)


@runtime_checkable
class LayerCosting(Protocol):
    """A backend that can cost a layer alone: operands from DRAM and back, nothing else in the way."""

    def cost_layer(self, layer: Layer, bits: int, core: int) -> LayerCost:
        """Cost `layer` at `bits` on core `core` (an index into the accelerator's cores)."""
        ...


def run_cost(
    file: Path | str, accelerator: str | None = None, backend: str | None = None, core: int | None = None,
    mapping: Path | str | None = None, as_json: bool = False, clock_hz: float | None = None, bits: int | None = None,
) -> str:  # fmt: skip
    """What `file` (layers, an architecture, an ONNX network or an exported folder) costs, as a table or as JSON text.

    None for `accelerator` and `backend`: those that a folder was exported for; for files the usual backend, and the
    backend's own accelerator. `bits` are those of an ONNX network; None: those that it states, else 8.
    """
    path = Path(file)
    check(bits is None or path.suffix == ".onnx", "--bits", bits, "left out: only an ONNX network has none of its own")
    if path.is_dir():
        return _exported(path, accelerator, backend, core, mapping, as_json=as_json, clock_hz=clock_hz)
    backend = backend or DEFAULT_BACKEND
    if accelerator is None and clock_hz is None:
        spec = default_accelerator(backend)
    else:
        spec = load_accelerator(accelerator or DEFAULT_ACCELERATOR, clock_hz)
    spec = with_mapping(spec, mapping)
    _check_core(spec, core)
    if path.suffix == ".onnx":
        layers, stated, notes = read_onnx(path)
        if bits is None and stated is None:
            notes = (*notes, f"{path}: states no bits, costed at {DEFAULT_BITS}: --bits says otherwise")
        warn(notes)
        place = _allocation(spec, core)
        workload = Workload((Stage(layers, (), bits or stated or DEFAULT_BITS, place, place),))
        return _network(ask_backend(backend, _backend(backend, spec, layers), workload), spec, as_json=as_json)
    data = read_json(path)
    if isinstance(data, list):
        costs = cost_layers(parse_layers(data, str(path)), spec, backend, core)
        return (
            json.dumps({"layers": [layer_json(cost) for cost in costs]}, indent=2)
            if as_json
            else layers_table(costs, spec)
        )
    architecture = architecture_from_json(_architecture(data), str(path))
    workload = _placed(workload_of(architecture), spec, core, f"{path}: ")
    report = ask_backend(backend, make_backend(backend, spec, architecture.backbone), workload)
    return _network(report, spec, as_json=as_json)


def _exported(
    folder: Path, accelerator: str | None, backend: str | None, core: int | None, mapping: Path | str | None, *,
    as_json: bool, clock_hz: float | None,
) -> str:  # fmt: skip
    """A network as ``eenn-rl export`` wrote it, costed from its graphs; by default on what it was exported for."""
    from eenn_rl.export_onnx import exported_workload

    manifest, workload = exported_workload(folder)
    spec = manifest.accelerator
    if spec is None or accelerator is not None or clock_hz is not None:
        spec = load_accelerator(accelerator or DEFAULT_ACCELERATOR, clock_hz)
    spec = with_mapping(spec, mapping)
    _check_core(spec, core)
    backend = backend or manifest.backend or DEFAULT_BACKEND
    backbone = architecture_from_json(manifest.architecture, str(folder / "manifest.json")).backbone
    report = ask_backend(backend, make_backend(backend, spec, backbone), _placed(workload, spec, core))
    return _network(report, spec, as_json=as_json)


def _check_core(spec: AcceleratorSpec, core: int | None) -> None:
    if core is not None:
        bound = f"between 0 and {len(spec.cores) - 1}, a core of {spec.name}"
        check(0 <= core < len(spec.cores), "--core", core, bound)


def _placed(workload: Workload, spec: AcceleratorSpec, core: int | None, where: str = "") -> Workload:
    """The workload with everything on `core`; or as it is, on allocations that there are."""
    if core is not None:
        place = _allocation(spec, core)
        return Workload(tuple(replace(stage, core=place, branch_core=place) for stage in workload.stages))
    last = len(spec.allocations) - 1
    for k, stage in enumerate(workload.stages):
        for name in ("core", "branch_core"):
            check(getattr(stage, name) <= last, f"{where}exit {k}: {name}", getattr(stage, name),
                  f"at most {last} on {spec.name} (--core N puts everything on core N)")  # fmt: skip
    return workload


def _architecture(data: Any) -> Any:
    """The architecture itself, also out of what `show --json` prints: the best verified one, else the search's best."""
    if isinstance(data, dict):
        search = data.get("search")
        found = data.get("verified") or (search.get("candidates") if isinstance(search, dict) else None)
        if isinstance(found, list) and found:
            data = found[0]
    return data["architecture"] if isinstance(data, dict) and "architecture" in data else data


def with_mapping(spec: AcceleratorSpec, mapping: Path | str | None) -> AcceleratorSpec:
    """`spec` with the dataflows of a ZigZag mapping file on its compute cores."""
    if mapping is None:
        return spec
    flows, notes = read_mapping(read_yaml(Path(mapping)), str(mapping))
    warn(notes)
    cores = tuple(replace(core, dataflows=flows) if core.kind == "compute" else core for core in spec.cores)
    return replace(spec, cores=cores)


def warn(notes: Iterable[str]) -> None:
    """Say on stderr what is not modelled."""
    for note in notes:
        _LOG.warning("warning: %s", note)


def _allocation(spec: AcceleratorSpec, core: int | None) -> int:
    """The allocation that is `core` alone; the first one where none is asked for."""
    if core is None:
        return 0
    alone = [index for index, group in enumerate(spec.allocations) if group == (core,)]
    check(bool(alone), "--core", core, f"a compute core of {spec.name} that may run a stage alone")
    return alone[0]


def _backend(name: str, spec: AcceleratorSpec, layers: tuple[Layer, ...]) -> HardwareBackend:
    """A backend for loose layers: they make up a backbone of one block."""
    first = layers[0]
    block = Block("layers", (replace(first, reads=()),))
    return make_backend(name, spec, Backbone("layers", (block,), (first.in_channels, *first.in_size), 2))


def cost_layers(
    listed: tuple[ListedLayer, ...], spec: AcceleratorSpec, backend: str, core: int | None
) -> tuple[LayerCost, ...]:
    """Each layer alone, on `core` or where its kind runs."""
    made = _backend(backend, spec, tuple(entry.layer for entry in listed))
    for entry in listed:
        where = spec.cores[_core_of(spec, entry.layer, core)]
        check(entry.bits in where.supported_bits, f"bits of layer {entry.layer.name!r}", entry.bits,
              f"those of core {where.name}, one of {where.supported_bits}")  # fmt: skip
    if isinstance(made, LayerCosting):
        return tuple(made.cost_layer(e.layer, e.bits, _core_of(spec, e.layer, core)) for e in listed)
    place = _allocation(spec, core)
    return tuple(_asked(backend, made, entry, spec, place) for entry in listed)


def _core_of(spec: AcceleratorSpec, layer: Layer, core: int | None) -> int:
    if core is not None:
        return core
    kind = {"pool": "pooling", "add": "simd"}.get(layer.kind, "compute")
    fitting = [index for index, one in enumerate(spec.cores) if one.kind == kind]
    return fitting[0] if fitting else spec.compute_cores[0]


def _asked(name: str, backend: HardwareBackend, entry: ListedLayer, spec: AcceleratorSpec, place: int) -> LayerCost:
    """A layer as a workload of one stage, for a backend that knows only those."""
    report = ask_backend(name, backend, Workload((Stage((entry.layer,), (), entry.bits, place, place),)))
    for stage in report.stages:
        for cost in stage.layers:
            if cost.name == entry.layer.name:
                return cost
    whole = report.exits[-1]
    cores = [spec.cores[core] for core in spec.allocations[place]]
    most = whole.latency_s * sum(core.clock_hz * core.array_size for core in cores)
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
