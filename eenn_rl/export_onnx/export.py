"""export_network, export_run: a folder of ONNX graphs and a manifest."""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eenn_rl.architecture import Architecture
from eenn_rl.cost import CostReport
from eenn_rl.errors import EennError, InputFileError, InvalidValueError, check
from eenn_rl.export_onnx.dependency import import_onnx
from eenn_rl.export_onnx.graph import storage_type
from eenn_rl.export_onnx.manifest import (
    BITS_KEY,
    FILE_NAME,
    FORMAT,
    OPSET,
    Expected,
    ExportedStage,
    Graph,
    Manifest,
    Storage,
    TensorInfo,
    manifest_json,
)
from eenn_rl.export_onnx.stages import Normalisation, StageGraphs, stage_graphs
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.images import ImageForm
from eenn_rl.integers import activation_range
from eenn_rl.problem import dataset_of
from eenn_rl.results import Verified
from eenn_rl.run_folder import write_json
from eenn_rl.tables import ConfidenceRule

if TYPE_CHECKING:
    from eenn_rl.networks.builder import Network
    from eenn_rl.stored_run import StoredRun


@dataclass(frozen=True)
class Deployment:
    """Everything but the weights that the manifest says; one threshold, temperature, rate ... per exit."""

    thresholds: tuple[float, ...]
    temperatures: tuple[float, ...]
    confidence_rule: ConfidenceRule
    normalisation: Normalisation
    dataset: str
    backend: str = ""
    accelerator: AcceleratorSpec | None = None
    cost: CostReport | None = None
    verified: Verified | None = None
    weights_sha256: str = ""
    classes: tuple[str, ...] | None = None
    image: ImageForm | None = None


def export_network(architecture: Architecture, network: "Network", deployment: Deployment, folder: Path) -> Manifest:
    """Write `network`, trained for `architecture`, to a new `folder`; returns its manifest.

    The folder appears whole or not at all; one that exists and holds something is refused.
    """
    for name in ("thresholds", "temperatures"):
        found = len(getattr(deployment, name))
        check(found == len(architecture.exits), name, found, f"{len(architecture.exits)} values, one per exit")
    _refuse_existing(folder)
    onnx = import_onnx()
    graphs = stage_graphs(architecture, network, deployment.normalisation)
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise InvalidValueError(
            f"{folder}: expected a place where a folder can be made, found {error.strerror}: choose another folder"
        ) from None
    try:
        stages = tuple(_write_stage(partial, k, item, architecture, deployment, onnx) for k, item in enumerate(graphs))
        manifest = _manifest(architecture, deployment, stages, graphs, str(onnx.__version__))
        write_json(partial / FILE_NAME, manifest_json(manifest))
        partial.chmod(0o777 & ~_umask())
        if folder.exists():
            folder.rmdir()
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refuse_existing(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidValueError(f"{folder} exists already: expected a new folder; choose another one")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValueError(f"{folder} cannot be made ({error.strerror}): choose another folder") from None


def _write_graph(
    folder: Path, name: str, model: Any, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...]
) -> Graph:
    content = model.SerializeToString(deterministic=True)
    (folder / name).write_bytes(content)
    return Graph(name, hashlib.sha256(content).hexdigest(), len(content), inputs, outputs)


def _write_stage(
    folder: Path, k: int, graphs: StageGraphs, architecture: Architecture, deployment: Deployment, onnx: Any
) -> ExportedStage:
    exit_, verified, cost = architecture.exits[k], deployment.verified, deployment.cost
    for model, part in ((graphs.backbone, "backbone"), (graphs.branch, "branch")):
        onnx.helper.set_model_props(model, {"eenn_rl.stage": str(k), "eenn_rl.part": part, BITS_KEY: str(exit_.bits)})
    return ExportedStage(
        backbone=_write_graph(
            folder, f"stage{k}.onnx", graphs.backbone, graphs.backbone_inputs, graphs.backbone_outputs
        ),
        branch=_write_graph(folder, f"exit{k}.onnx", graphs.branch, graphs.branch_inputs, graphs.branch_outputs),
        location=exit_.location,
        branch_kind=exit_.branch,
        bits=exit_.bits,
        core=exit_.core,
        core_name=_allocation(deployment.accelerator, exit_.core),
        branch_core=exit_.branch_core,
        branch_core_name=_allocation(deployment.accelerator, exit_.branch_core),
        threshold=deployment.thresholds[k],
        temperature=deployment.temperatures[k],
        rate=verified.measured.exit_rates[k] if verified else None,
        accuracy=verified.measured.exit_accuracies[k] if verified else None,
        energy_j=cost.exits[k].energy_j if cost else None,
        latency_s=cost.exits[k].latency_s if cost else None,
    )


def _allocation(accelerator: AcceleratorSpec | None, index: int) -> str:
    if accelerator is None or index >= len(accelerator.allocations):
        return str(index)
    return accelerator.allocation_name(index)


def _manifest(
    architecture: Architecture,
    deployment: Deployment,
    stages: tuple[ExportedStage, ...],
    graphs: list[StageGraphs],
    onnx_version: str,
) -> Manifest:
    from eenn_rl.architecture_file import architecture_to_json
    from eenn_rl.trajectory import current_versions

    return Manifest(
        format=FORMAT,
        opset=OPSET,
        architecture=architecture_to_json(architecture),
        input=graphs[0].backbone_inputs[0],
        num_classes=architecture.backbone.num_classes,
        confidence_rule=deployment.confidence_rule,
        stages=stages,
        storage=tuple(_storage(bits) for bits in sorted({exit_.bits for exit_ in architecture.exits})),
        expected=_expected(deployment.verified),
        accelerator=deployment.accelerator,
        backend=deployment.backend,
        dataset=deployment.dataset,
        versions={**current_versions(), "onnx": onnx_version},
        weights_sha256=deployment.weights_sha256,
        classes=deployment.classes,
        image=deployment.image,
    )


def _storage(bits: int) -> Storage:
    half = 2 ** (bits - 1)
    note = "weight = scale * (code + 1/2) per output channel; biases float32; 8 bits wide at a graph's border"
    if bits < 8:
        note += ", and where a max-pool reads"
    if bits < 4:
        note += f"; {bits} bits are held in 4-bit integers, the smallest of operator set {OPSET}, in the stated ranges"
    return Storage(
        bits,
        storage_type(bits, signed=True),
        (-half, half - 1),
        (storage_type(bits, signed=False), storage_type(bits, signed=True)),
        activation_range(bits, signed=False),
        activation_range(bits, signed=True),
        note,
    )


def _expected(verified: Verified | None) -> Expected | None:
    if verified is None:
        return None
    found = verified.measured
    return Expected(
        found.accuracy, found.accuracy_interval, found.energy_j, found.latency_s, found.elp, verified.elp_reduction
    )


def load_network(architecture: Architecture, weights: Path) -> "Network":
    """The fully trained network of `architecture` in a weights file of a run; raises `InputFileError` for any other."""
    from eenn_rl.networks.builder import Network, heads_of, path_of
    from eenn_rl.networks.loop import load_state

    state = load_state(weights)
    network = Network(architecture.backbone, heads_of(architecture), sorted(set(path_of(architecture))))
    try:
        network.load_state_dict(state["network"])
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputFileError(f"{weights}: expected the weights of this architecture, found others ({reason})") from None
    network.eval()
    return network


def export_run(run: Path, folder: Path, architecture: int = 1) -> Manifest:
    """Export the verified architecture of that number (1 is the first that `show` lists) of the run in `run`."""
    from eenn_rl.stored_run import open_stored_run

    stored = open_stored_run(run)
    verified = stored.verified(architecture)
    network_architecture = stored.architecture(verified)
    _refuse_existing(folder)
    import_onnx()
    weights = stored.weights(verified)
    network = load_network(network_architecture, weights)
    deployment = Deployment(
        thresholds=verified.thresholds,
        temperatures=verified.temperatures,
        confidence_rule=stored.confidence_rule,
        normalisation=_normalisation(stored),
        dataset=Path(stored.config.dataset).resolve().name,
        backend=stored.config.backend,
        accelerator=stored.accelerator,
        cost=_cost_or_none(stored, network_architecture),
        verified=verified,
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        classes=stored.images.classes if stored.images else None,
        image=stored.images.image if stored.images else None,
    )
    return export_network(network_architecture, network, deployment, folder)


def _normalisation(stored: "StoredRun") -> Normalisation:
    """As the run notes it; an older one has to have its images."""
    if stored.results is not None and stored.results.mean:
        return Normalisation(stored.results.mean, stored.results.std)
    dataset = dataset_of(stored.config, stored.path)
    return Normalisation(tuple(dataset.mean.tolist()), tuple(dataset.std.tolist()))


def _cost_or_none(stored: Any, architecture: Architecture) -> CostReport | None:
    """What each exit costs; None where the run's backend is not installed here or fails."""
    try:
        report: CostReport = stored.cost(architecture)
    except EennError:
        return None
    return report
