"""`datasets()`: torchvision's data sets, also where its compiled operators do not load.

A torchvision wheel built for CUDA beside a CPU-only torch cannot load its compiled library, and its import then fails
("operator torchvision::nms does not exist") although the data sets need none of those operators.
"""

import importlib
import sys
from types import ModuleType

import torch

_OPERATORS = (
    "nms", "qnms", "roi_align", "_roi_align_backward", "qroi_align", "ps_roi_align", "_ps_roi_align_backward",
    "roi_pool", "_roi_pool_backward", "ps_roi_pool", "_ps_roi_pool_backward", "deform_conv2d",
    "_deform_conv2d_backward",
)  # fmt: skip
_schemas: list[torch.library.Library] = []  # a library's operators live as long as the object


def _declare_missing() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in _OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor x) -> Tensor")  # type: ignore[no-untyped-call]
    _schemas.append(library)


def datasets() -> ModuleType:
    """The module `torchvision.datasets`."""
    try:
        return importlib.import_module("torchvision.datasets")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declare_missing()
    return importlib.import_module("torchvision.datasets")
