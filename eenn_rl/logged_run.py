"""A run as its log alone tells it: its configuration, what its search found, what was verified."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eenn_rl.architecture import Exit
from eenn_rl.architecture_file import architecture_to_json, check_architecture
from eenn_rl.errors import InputFileError, check
from eenn_rl.findings import distinct_networks
from eenn_rl.judgement import in_validation_order
from eenn_rl.plausible import check_static
from eenn_rl.results import Candidate, Found, Predicted, Results, StaticResult, Verified
from eenn_rl.serialization import from_json, to_json
from eenn_rl.space import LOCATION

if TYPE_CHECKING:
    from eenn_rl.trajectory import TrajectoryLog

RESULTS = "results"
"""Key under which the record of a verified architecture holds what it was verified with, and measured against."""


@dataclass(frozen=True)
class _Together:
    """`Results` but for the verified architectures."""

    static: StaticResult
    static_best_bits: StaticResult
    objective: dict[str, Any]
    space_size: int
    distinct_evaluations: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def records_of(results: Results) -> list[dict[str, Any]]:
    """What a log keeps of each verified architecture: itself, and what it was measured against."""
    shared = to_json(replace(results, verified=()))
    del shared["verified"]
    return [{**to_json(verified), RESULTS: shared} for verified in results.verified]


def logged_settings(log: "TrajectoryLog") -> dict[str, Any]:
    """The run's settings, of paths the names alone; what a log was written without is taken from its parts."""
    meta = log.meta
    parts = {"backend": meta.backend, "accelerator": meta.accelerator, "backbone": meta.backbone}
    told = {key: part.get("name") for key, part in parts.items() if isinstance(part, Mapping)}
    told |= {"objective": meta.objective}
    if isinstance(meta.tables_info, Mapping):
        told["dataset"] = meta.tables_info.get("dataset")
    if not isinstance(meta.config, Mapping):
        raise InputFileError(f"{log.path}: meta/config: expected settings by name, found {type(meta.config).__name__}")
    return {**{key: value for key, value in told.items() if value is not None}, **meta.config}


def logged_results(log: "TrajectoryLog") -> Results | None:
    """What was verified, all that was measured against the same static networks as the last one.

    None where nothing was verified, or by a version that did not log what it was measured against.
    """
    records = log.verifications()
    if not records or RESULTS not in records[-1]:
        return None
    source = f"{log.path}: verification"
    shared = records[-1][RESULTS]
    together = from_json(_Together, shared, f"{source} {len(records) - 1}: {RESULTS}")
    verified = [
        _verified(record, f"{source} {number}")
        for number, record in enumerate(records)
        if record.get(RESULTS) == shared
    ]
    return Results(
        static=together.static,
        static_best_bits=together.static_best_bits,
        verified=in_validation_order(verified),
        objective=together.objective,
        space_size=together.space_size,
        distinct_evaluations=together.distinct_evaluations,
        mean=together.mean,
        std=together.std,
    )


def _verified(record: Mapping[str, Any], source: str) -> Verified:
    found = from_json(Verified, {key: value for key, value in record.items() if key != RESULTS}, source)
    check_architecture(found.architecture, len(found.thresholds), f"{source}: architecture")
    return found


@dataclass(frozen=True)
class LoggedStatic:
    """A static network as the search saw it: energy in J, latency in s, `elp` in J s; its one exit is the last."""

    exits: tuple[Exit, ...]
    accuracy: float
    energy_j: float
    latency_s: float
    elp: float

    def __post_init__(self) -> None:
        check(len(self.exits) == 1, "exits", len(self.exits), "one, as of any network without early exits")
        check_static(self)

    @property
    def bits(self) -> int:
        """Of its weights and activations."""
        return self.exits[-1].bits


@dataclass(frozen=True)
class Baselines:
    """The static networks of a log: what everything is measured against, and the best one of any bit-width."""

    static: LoggedStatic
    static_best_bits: LoggedStatic


def logged_baselines(log: "TrajectoryLog") -> Baselines:
    """The static networks as the search saw them."""
    return from_json(Baselines, log.meta.baselines, f"{log.path}: meta/baselines")


def logged_found(log: "TrajectoryLog") -> Found:
    """The best feasible networks that the search evaluated, as `eenn_rl.findings.summarise` gives them at its end."""
    from eenn_rl.replay.problem import rebuild_space

    space = rebuild_space(log.meta, log.path)
    baselines = logged_baselines(log)
    distinct = log.distinct()
    rows = log.top(len(distinct))
    genomes = log.columns("architecture")["architecture"][rows]
    columns = log.columns("return", "accuracy", "energy_j", "latency_s", "elp", "elp_reduction", "exit_rates")
    candidates = []
    for index in distinct_networks(genomes):
        genome, row = genomes[index], rows[index]
        exits = int((genome[:, LOCATION] >= 0).sum())
        values = {name: float(values[row]) for name, values in columns.items() if values.ndim == 1}
        reward = values.pop("return")
        rates = tuple(columns["exit_rates"][row, :exits].tolist())
        candidates.append(
            Candidate(
                tuple(map(tuple, genome.tolist())), architecture_to_json(space.decode(genome)),
                Predicted(exit_rates=rates, **values), reward,
            )
        )  # fmt: skip
    static, best = (_promised(item, baselines.static) for item in (baselines.static, baselines.static_best_bits))
    return Found(tuple(candidates), static, best, len(distinct), space.size, stopped="")


def _promised(static: LoggedStatic, reference: LoggedStatic) -> Predicted:
    return Predicted(
        static.accuracy, (1.0,), static.energy_j, static.latency_s, static.elp, 1.0 - static.elp / reference.elp
    )
