"""The hook: what the entry point `zigzag` loads."""

from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import hookimpl
from eenn_zigzag.backend import ZigZagBackend


@hookimpl
def eenn_rl_make_backend(accelerator: AcceleratorSpec) -> ZigZagBackend:
    """ZigZag's layer costs on `accelerator`; they depend on layer shapes alone, whatever the backbone."""
    return ZigZagBackend(accelerator)
