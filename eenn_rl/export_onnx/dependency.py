"""The optional package onnx, or one line that says how to get it."""

from types import ModuleType

from eenn_rl.errors import not_installed


def import_onnx() -> ModuleType:
    """The onnx package with its helpers loaded."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError:
        raise not_installed("reading and writing ONNX needs the package onnx", "deploy") from None
    return onnx
