"""Between a running problem and what its log says of it: `describe` and `rebuild`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass, replace
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

import numpy as np

from eenn_rl.backbone import Backbone
from eenn_rl.config import RunConfig
from eenn_rl.errors import InputFileError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluation import Evaluation
from eenn_rl.evaluator import Evaluator
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.objective import VIOLATIONS, Objective
from eenn_rl.plugins import backend_record, make_backend
from eenn_rl.serialization import from_json, to_json
from eenn_rl.space import SearchSpace
from eenn_rl.tables import AccuracyTables
from eenn_rl.trajectory import Dimensions, RunMeta

if TYPE_CHECKING:
    from eenn_envs.core import Problem
    from eenn_envs.layout import Layout

_ARRAYS = tuple(item.name for item in fields(AccuracyTables) if get_origin(item.type) is np.ndarray)

MOST_BITS, MOST_ALLOCATIONS = 32, 256
"""A search space grows with their product squared: a file that claims more is refused."""


def describe(
    evaluator: Evaluator,
    backend: str,
    *,
    config: Any = None,
    seeds: Mapping[str, int] | None = None,
    layout: "Layout | None" = None,
) -> RunMeta:
    """What a log must hold for `evaluator`'s episodes to be executed again; `backend` is the plugin's name."""
    from eenn_envs.core import Problem
    from eenn_envs.layout import layout_for

    space, tables = evaluator.space, evaluator.estimator.tables
    layout = layout or layout_for(space)
    features = Problem(evaluator, layout).features
    flags = layout.slices["exits"].stop  # the phase, and the actions taken
    record = backend_record(backend)
    arrays, info = _parts(tables)
    return RunMeta(
        accelerator=to_json(space.accelerator),
        backbone=to_json(space.backbone),
        space={"branches": list(space.branches), "bits": list(space.bits), "max_exits": space.max_exits},
        objective=to_json(evaluator.objective),
        backend={"name": backend, "distribution": record.distribution, "version": record.version},
        fingerprint=tables.fingerprint,
        dimensions=Dimensions(
            layout.observations, layout.actions, space.max_exits, len(VIOLATIONS), flags, len(features)
        ),
        violations=VIOLATIONS,
        config=config or {},
        baselines=baselines(evaluator),
        environment=_environment(layout, evaluator),
        tables_info=info,
        seeds=dict(seeds or {}),
        tables=arrays,
        constant=features,
    )


def _environment(layout: "Layout", evaluator: Evaluator) -> dict[str, Any]:
    slices = {name: [part.start, part.stop] for name, part in layout.slices.items()}
    told = to_json(layout)
    if not layout.prospects:  # as before there were any: a run begun then is resumed with the same description
        del told["prospects"], slices["prospects"]
    return {"layout": told, "slices": slices, "thresholds": evaluator.estimator.mode}


def _parts(tables: AccuracyTables) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of `tables`, and the rest as JSON data."""
    named = {item.name: getattr(tables, item.name) for item in fields(tables)}
    arrays = {name: named.pop(name) for name in _ARRAYS}
    return arrays, {name: to_json(value) for name, value in named.items()}


def baselines(evaluator: Evaluator) -> dict[str, Any]:
    """The static networks, as the run costed them: a replay that costs them otherwise runs another cost model."""
    return {"static": _static(evaluator.static), "static_best_bits": _static(evaluator.static_best_bits)}


def _static(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "exits": to_json(evaluation.architecture.exits),
        "accuracy": evaluation.estimate.accuracy,
        "energy_j": evaluation.energy_j,
        "latency_s": evaluation.latency_s,
        "elp": evaluation.elp,
    }


@dataclass(frozen=True)
class _Space:
    branches: tuple[str, ...]
    bits: tuple[int, ...]
    max_exits: int


def read_tables(meta: RunMeta, path: Path) -> AccuracyTables:
    """The estimator's tables in a log."""
    source = f"{path}: meta/tables"
    found, wanted = sorted(meta.tables), sorted(_ARRAYS)
    if found != wanted:
        raise InputFileError(f"{source}: expected {', '.join(wanted)}, found {', '.join(found)}: use another eenn-rl")
    info = from_json(_tables_info(), meta.tables_info, f"{source}_info")
    values: dict[str, Any] = {**meta.tables, **{item.name: getattr(info, item.name) for item in fields(info)}}
    try:
        return AccuracyTables(**values)
    except (ValueError, TypeError) as error:
        raise InputFileError(f"{source}: {' '.join(str(error).split())}: use another copy of the log") from None


def _tables_info() -> Any:
    """The fields of `AccuracyTables` that are no arrays, as a dataclass of their own."""
    rest = [item for item in fields(AccuracyTables) if item.name not in _ARRAYS]
    return make_dataclass("TablesInfo", [(item.name, item.type, field(default=item.default)) for item in rest])


def rebuild_space(meta: RunMeta, path: Path, accelerator: AcceleratorSpec | None = None) -> SearchSpace:
    """The search space of a log, on its own accelerator or on another."""
    backbone = from_json(Backbone, meta.backbone, f"{path}: meta/backbone")
    accelerator = accelerator or from_json(AcceleratorSpec, meta.accelerator, f"{path}: meta/accelerator")
    choices = from_json(_Space, meta.space, f"{path}: meta/space")
    found = (choices.max_exits, len(choices.bits), len(accelerator.allocations))
    if found[0] != meta.dimensions.exits or found[1] > MOST_BITS or found[2] > MOST_ALLOCATIONS:
        raise InputFileError(
            f"{path}: meta/space: expected {meta.dimensions.exits} exits, at most {MOST_BITS} bit-widths and "
            f"{MOST_ALLOCATIONS} allocations, found {found}: use another copy of the log"
        )
    return SearchSpace(backbone, accelerator, choices.branches, choices.bits, choices.max_exits)


def rebuild(
    meta: RunMeta,
    path: Path,
    backend: str | None = None,
    accelerator: AcceleratorSpec | None = None,
    objective: Mapping[str, Any] | None = None,
) -> Evaluator:
    """The evaluator of a log; with another backend, accelerator, or other fields of the objective, where given."""
    space = rebuild_space(meta, path, accelerator)
    logged = from_json(Objective, meta.objective, f"{path}: meta/objective")
    costs = make_backend(backend or meta.backend.get("name", ""), space.accelerator, space.backbone)
    mode = (meta.environment if isinstance(meta.environment, dict) else {}).get("thresholds", "per_exit")
    return Evaluator(space, costs, Estimator(read_tables(meta, path), mode), replace(logged, **(objective or {})))


def rebuild_layout(meta: RunMeta, path: Path) -> "Layout":
    """What actions and observations mean in a log."""
    from eenn_envs.layout import Layout

    stored = (meta.environment if isinstance(meta.environment, dict) else {}).get("layout")
    layout = from_json(Layout, stored, f"{path}: meta/environment: layout")
    found, wanted = (layout.observations, layout.actions), (meta.dimensions.observation, meta.dimensions.actions)
    if found != wanted:
        raise InputFileError(
            f"{path}: meta/environment: expected a layout of {wanted} observations and actions, as logged, "
            f"found {found}: use another copy of the log"
        )
    return layout


def environment(meta: RunMeta, path: Path) -> "Problem":
    """The environment's side of a log, for `final_observations` and its spaces."""
    from eenn_envs.core import Problem

    return Problem(rebuild(meta, path), rebuild_layout(meta, path))


def registered_as(problem: "Problem", meta: RunMeta) -> str | None:
    """The id by which Gymnasium makes the environment of a log as it is, without arguments; None where none does.

    It is the same where space, objective, tables, thresholds and layout are those of the package's default problem, and
    the installed backend costs the static networks as they were logged.
    """
    from eenn_envs.default import default_evaluator
    from eenn_envs.layout import layout_for
    from eenn_envs.registration import ENV_ID

    default = default_evaluator()
    same = _told(problem.evaluator) == _told(default) and problem.layout == layout_for(default.space)
    costs = same and meta.backend.get("name") == RunConfig().backend and _same_costs(meta.baselines, baselines(default))
    return ENV_ID if costs else None


def _told(evaluator: Evaluator) -> tuple[Any, ...]:
    """What two evaluators must share to give one reward."""
    space, estimator = evaluator.space, evaluator.estimator
    choices = (space.backbone, space.accelerator, space.branches, space.bits, space.max_exits)
    return *choices, evaluator.objective, estimator.tables.fingerprint, estimator.mode


def _same_costs(logged: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    return all(
        isclose(float(logged[network][name]), here[network][name], rel_tol=1e-9)
        for network in here for name in ("accuracy", "energy_j", "latency_s")
    )  # fmt: skip
