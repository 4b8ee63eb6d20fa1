"""What ``eenn-rl cost`` costs on: the accelerator, its clock and dataflows, and a place there."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from eenn_rl.backbone import LAYER_KINDS, Layer
from eenn_rl.errors import InputFileError, InvalidValueError, check
from eenn_rl.hardware import AcceleratorSpec, load_accelerator, shipped_accelerators
from eenn_rl.hardware.zigzag_files import read_mapping
from eenn_rl.serialization import read_yaml
from eenn_rl.workload import Workload

SPECIAL = {"pool": "pooling", "add": "simd"}
"""Layer kinds that run on a core of their own where there is one, and its kind."""
_LOG = logging.getLogger(__name__)


def accelerator_for(named: str | None, clock_hz: float | None, own: Callable[[], AcceleratorSpec]) -> AcceleratorSpec:
    """The accelerator that was `named`, else `own`; `clock_hz` is for a file that names no clock, and refused else."""
    if clock_hz is None:
        return own() if named is None else load_accelerator(named)
    check(0 < clock_hz < inf, "--clock-hz", clock_hz, "more than 0, and finite")
    spec = own() if named is None else load_accelerator(named, clock_hz)
    if named is None or _names_clock(named):
        raise InvalidValueError(
            f"--clock-hz {clock_hz:g}: expected --accelerator FILE with a file that names no clock, found "
            f"{named or spec.name}, which has its own: leave out --clock-hz, or change the clock in a file"
        )
    return spec


def _names_clock(named: str) -> bool:
    """Whether an accelerator, which can be read, names the clock of all or some of its cores; the shipped ones do."""
    if named in shipped_accelerators():
        return True
    data = read_yaml(Path(named))
    types: dict[str, Any] = data.get("core_types") or {}
    return any(part.get(key) for part in (data, *types.values()) for key in ("clock_hz", "operating_points"))


def with_mapping(
    spec: AcceleratorSpec, mapping: Path | str | None, layers: Iterable[Layer], *, special: bool = True
) -> AcceleratorSpec:
    """`spec` with the dataflows of a ZigZag mapping file on its compute cores; says which names there are no layer's.

    `special`: layers with a special core run there, whatever the mapping says of them.
    """
    if mapping is None:
        return spec
    flows, notes = read_mapping(read_yaml(Path(mapping)), str(mapping))
    warn(notes)
    kinds = {kind for kind, core in SPECIAL.items() if special and core in {one.kind for one in spec.cores}}
    names = {layer.name for layer in layers if layer.kind not in kinds}
    warn(
        f"{mapping}: {name}: expected an operator, or the name of a layer on a compute core, found none: it is not used"
        for flow in flows for name in flow.kinds if name not in names and name not in LAYER_KINDS
    )  # fmt: skip
    try:
        cores = tuple(replace(core, dataflows=flows) if core.kind == "compute" else core for core in spec.cores)
    except InvalidValueError as error:
        raise InputFileError(f"{mapping}: {error}") from None
    return replace(spec, cores=cores)


def warn(notes: Iterable[str]) -> None:
    """Say on stderr what is not modelled."""
    for note in notes:
        _LOG.warning("warning: %s", note)


def check_core(spec: AcceleratorSpec, core: int | None) -> None:
    """Raise `InvalidValueError` where `core` is none of the accelerator's."""
    if core is not None:
        bound = f"between 0 and {len(spec.cores) - 1}, a core of {spec.name}"
        check(0 <= core < len(spec.cores), "--core", core, bound)


def allocation_for(spec: AcceleratorSpec, core: int | None) -> int:
    """The allocation that is `core` alone; the first one where none is asked for."""
    if core is None:
        return 0
    alone = [index for index, group in enumerate(spec.allocations) if group == (core,)]
    check(bool(alone), "--core", core, f"a compute core of {spec.name} that may run a stage alone")
    return alone[0]


def check_bits(spec: AcceleratorSpec, place: int, bits: int, what: str) -> None:
    """Raise `InvalidValueError` where a core of allocation `place` lacks `bits`, those of `what`."""
    supported = spec.allocation_bits(place)
    hint = " (--core N takes another core)" if len(spec.allocations) > 1 else ""
    check(bits in supported, f"bits of {what}", bits,
          f"those of {spec.allocation_name(place)}, one of {supported}{hint}")  # fmt: skip


def placed(workload: Workload, spec: AcceleratorSpec, core: int | None, where: str = "") -> Workload:
    """The workload with everything on `core`; or as it is, on allocations that there are."""
    if core is not None:
        place = allocation_for(spec, core)
        return Workload(tuple(replace(stage, core=place, branch_core=place) for stage in workload.stages))
    last = len(spec.allocations) - 1
    for k, stage in enumerate(workload.stages):
        for name in ("core", "branch_core"):
            check(getattr(stage, name) <= last, f"{where}exit {k}: {name}", getattr(stage, name),
                  f"at most {last} on {spec.name} (--core N puts everything on core N)")  # fmt: skip
    return workload
