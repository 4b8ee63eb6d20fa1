"""The hook: what the entry point `multicore` loads."""

from eenn_multicore.backend import MulticoreBackend
from eenn_rl.backbone import Backbone
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import hookimpl


@hookimpl
def eenn_rl_make_backend(accelerator: AcceleratorSpec, backbone: Backbone) -> MulticoreBackend:
    """The analytical multi-core model of `accelerator`; its costs depend on layer shapes alone."""
    del backbone
    return MulticoreBackend(accelerator)
