"""The whole extension surface for hardware backends: one hook, one protocol.

Entry-point group `eenn_rl`; the entry point's name is what the user passes to ``--backend``.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pluggy

from eenn_rl.backbone import Backbone
from eenn_rl.cost import CostReport
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.workload import Stage, Workload

PROJECT = "eenn_rl"
API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@runtime_checkable
class HardwareBackend(Protocol):
    """Costs workloads on one accelerator. Deterministic and free of side effects."""

    api_version: int

    def evaluate(self, workload: Workload) -> CostReport:
        """Cost `workload`: one `ExitCost` per stage. What does not fit comes back as violations, never as an error."""
        ...


@runtime_checkable
class BatchBackend(HardwareBackend, Protocol):
    """A backend with the optional fast path."""

    def evaluate_batch(
        self, stages: Sequence[Stage], index: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Cost many architectures: architecture i is the stages ``index[i]``, padded with -1.

        Returns energy_j and latency_s, float64 [n, s], one column per exit (padding holds 0), and fits, bool [n].
        Must equal `evaluate` exactly.
        """
        ...


class HookSpecs:
    """The hooks a plugin may implement."""

    @hookspec(firstresult=True)
    def eenn_rl_make_backend(self, accelerator: AcceleratorSpec, backbone: Backbone) -> HardwareBackend:
        """Make the backend for `accelerator`, ready to cost stages of `backbone`."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def eenn_rl_default_accelerator(self) -> AcceleratorSpec | str:
        """Optional: the accelerator (or the name of a shipped one) to use when the user names none."""
        raise NotImplementedError


__all__ = ["API_VERSION", "PROJECT", "BatchBackend", "HardwareBackend", "HookSpecs", "hookimpl", "hookspec"]
