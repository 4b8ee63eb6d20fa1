"""The hooks: what the entry point `diana` loads."""

from eenn_diana.backend import DianaBackend
from eenn_diana.chip import NAME
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import hookimpl


@hookimpl
def eenn_rl_make_backend(accelerator: AcceleratorSpec) -> DianaBackend:
    """The chip's cost model; it serves no other accelerator."""
    return DianaBackend(accelerator)


@hookimpl
def eenn_rl_default_accelerator() -> str:
    """The chip, so that ``--backend diana`` alone is enough."""
    return NAME
