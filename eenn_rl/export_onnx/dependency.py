"""The optional package onnx, or one line that says how to get it."""

from types import ModuleType

from eenn_rl.errors import MissingDependencyError


def import_onnx() -> ModuleType:
    """The onnx package with its helpers loaded."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError:
        raise MissingDependencyError(
            "reading and writing ONNX needs the package onnx, which is not installed: pip install 'eenn-rl[deploy]'"
        ) from None
    return onnx
