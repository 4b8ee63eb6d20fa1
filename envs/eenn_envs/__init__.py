"""The Gymnasium environment of early-exit network design, single and natively vectorised.

Importing this registers ``eenn_rl/EENN-v0`` with Gymnasium and costs next to nothing: every start of Python does it.
The classes load on first use.
"""

from eenn_envs.registration import TYPE_CHECKING, register_when_imported

if TYPE_CHECKING:
    from typing import Any

    from eenn_envs.layout import Layout, layout_for
    from eenn_envs.single import EENNEnv
    from eenn_envs.vector import EENNVectorEnv

_HOMES = {"EENNEnv": "single", "EENNVectorEnv": "vector", "Layout": "layout", "layout_for": "layout"}
__all__ = ["EENNEnv", "EENNVectorEnv", "Layout", "layout_for"]


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


register_when_imported()
