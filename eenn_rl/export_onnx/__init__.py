"""A verified network as ONNX: one static graph per stage and branch, and a manifest. See docs/deployment.md."""

from eenn_rl.export_onnx.export import Deployment, export_network, export_run, load_network
from eenn_rl.export_onnx.manifest import BITS_KEY, Manifest, read_manifest
from eenn_rl.export_onnx.reading import exported_workload, layers_of_model
from eenn_rl.export_onnx.stages import Normalisation

__all__ = [
    "BITS_KEY",
    "Deployment",
    "Manifest",
    "Normalisation",
    "export_network",
    "export_run",
    "exported_workload",
    "layers_of_model",
    "load_network",
    "read_manifest",
]
