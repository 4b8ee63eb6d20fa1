"""RunConfig: everything that shapes a run, declared once.

Each field is a setting, its default, its help and its command-line flag; the whole is stored in the run folder.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from eenn_rl.branches import BRANCHES
from eenn_rl.errors import InputFileError, check, unknown_name
from eenn_rl.guard import EVALUATION_LIMIT_S
from eenn_rl.networks.settings import TRAINING_FREE, SupernetSettings, TrainingSettings
from eenn_rl.objective import Objective
from eenn_rl.options import group, merge, option
from eenn_rl.search import AgentSettings
from eenn_rl.serialization import from_json, read_yaml, to_json
from eenn_rl.tables import ConfidenceRule
from eenn_rl.tuning import Mode

ALLOWED_BITS = (2, 4, 8)
MOST_SEED = 2**62 - 1
"""Episodes count on from the seed, and are logged as 64-bit integers."""


@dataclass(frozen=True)
class RunConfig:
    """One run of the main job."""

    backend: str = option("multicore", "hardware backend: a name that `eenn-rl backends` lists")
    accelerator: str | None = option(
        None, "a name that `eenn-rl accelerators` lists, or a YAML file of ours, ZigZag's or Stream's; none: the "
        "backend's own, quad_edge_tpu for multicore", metavar="NAME|FILE",
    )  # fmt: skip
    backbone: str = option(
        "resnet8", "backbone: resnet8, resnet20, mobilenetv2, mobilenetv1_025, or your own package.module:function"
    )
    backend_limit_s: float | None = option(
        EVALUATION_LIMIT_S, "seconds one evaluation may take; none: no limit", flag="--backend-limit"
    )
    backend_workers: int = option(1, "processes that a slow backend's evaluations are spread over")
    backend_memo: str | None = option(None, "file that keeps a slow backend's answers across runs", metavar="FILE")
    dataset: str = option(
        "digits", "digits (embedded), cifar10, cifar100, svhn, or a folder with train/<class>/ and test/<class>/",
        metavar="NAME|FOLDER",
    )  # fmt: skip
    data_root: str | None = option(None, "where downloaded data sets are kept", metavar="DIR")
    tables: str | None = option(
        None, "accuracy tables to search on instead of training shared weights: a file, `shipped`, or a training-free "
        "score (macs, naswot, synflow) that they are guessed from", metavar="FILE|NAME",
    )  # fmt: skip
    confidence_rule: ConfidenceRule = option(
        "max_softmax", "how sure an exit is: max_softmax, margin (to the second largest) or entropy"
    )
    calibrated: bool = option(True, "fit a temperature to every exit's logits on validation data")
    device: str = option("cpu", "where networks are trained and measured: cpu, cuda, cuda:1 ...")
    seed: int = option(0, "fixes every random number of the run; on another kind of processor sums may round otherwise")
    branches: tuple[str, ...] = option(BRANCHES, "branch kinds to choose from")
    bits: tuple[int, ...] = option(ALLOWED_BITS, "bit-widths to choose from")
    max_exits: int = option(4, "most exits of an architecture, the last one included")
    thresholds: Mode = option("per_exit", "confidence thresholds: one per exit, or one for all exits")
    verify: int = option(3, "how many of the best architectures are trained in full and verified")
    workers: int = option(2, "processes that train in full at a time; the results do not depend on it")
    threads: int = option(
        1, "threads for the shared weights; small networks are slower with more, and results differ in the last bits"
    )
    objective: Objective = group(Objective)
    search: AgentSettings = group(AgentSettings)
    supernet: SupernetSettings = group(SupernetSettings, "supernet")
    training: TrainingSettings = group(TrainingSettings, "training")

    @property
    def guessed(self) -> bool:
        """Whether accuracies are guessed from a training-free score."""
        return self.tables in TRAINING_FREE

    @property
    def search_only(self) -> bool:
        """Whether a run ends with its search: nobody asked for more, or its accuracies come from given tables."""
        return self.verify == 0 or (self.tables is not None and not self.guessed)

    def __post_init__(self) -> None:
        for branch in self.branches:
            if branch not in BRANCHES:
                raise unknown_name("branch", branch, BRANCHES)
        for bits in self.bits:
            check(bits in ALLOWED_BITS, "bits", bits, "one of 2, 4, 8")
        check(0 <= self.seed <= MOST_SEED, "seed", self.seed, f"between 0 and {MOST_SEED}")
        check(self.max_exits >= 1, "max_exits", self.max_exits, "at least 1")
        check(self.verify >= 0, "verify", self.verify, "at least 0")
        if self.backend_limit_s == math.inf:  # which JSON has no word for
            object.__setattr__(self, "backend_limit_s", None)
        limit_s = self.backend_limit_s
        check(limit_s is None or limit_s > 0, "backend_limit", limit_s, "more than 0, or none")
        check(self.backend_workers >= 1, "backend_workers", self.backend_workers, "at least 1")
        check(self.workers >= 1, "workers", self.workers, "at least 1")
        check(self.threads >= 1, "threads", self.threads, "at least 1")
        _check_groups(self)


def _check_groups(config: RunConfig) -> None:
    """Refuse what is no group of settings where one belongs, as RunConfig(objective="latency")."""
    for item in fields(config):
        kind = item.default_factory
        if isinstance(kind, type):
            value, wanted = getattr(config, item.name), f"{kind.__module__}.{kind.__name__}"
            check(isinstance(value, kind), item.name, value, f"of type {wanted}")


PROBLEM_FIELDS = (
    "backend_limit_s",
    "backend_workers",
    "backend_memo",
    "backend",
    "accelerator",
    "backbone",
    "dataset",
    "tables",
    "branches",
    "bits",
    "max_exits",
    "objective",
)
"""The settings that say what is searched, not how."""
WITHOUT_EFFECT = ("workers", "backend_workers", "backend_memo")
"""The settings that change no result: what was begun may go on with others."""


def read_config_file(path: Path) -> dict[str, Any]:
    """The configuration in a user's JSON or YAML file, unchecked."""
    if not path.exists():
        raise InputFileError(f"{path}: expected a configuration file, found none: check the path")
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise InputFileError(f"{path}: expected a configuration (a mapping), found {type(data).__name__}")
    return data


def make_config(given: Mapping[str, Any], base: Mapping[str, Any] | None = None, source: str = "options") -> RunConfig:
    """The configuration: defaults, below `base` (a stored one), below what the user typed."""
    stored = from_json(RunConfig, dict(base or {}), source)
    return from_json(RunConfig, merge(to_json(stored), dict(given)), "options")


def differences(stored: RunConfig, given: Mapping[str, Any]) -> list[str]:
    """Settings that the user typed and that differ from the stored ones, as ``name: stored -> typed``."""
    return list(_differences(to_json(stored), to_json(make_config(given, to_json(stored))), ""))


def _differences(stored: Any, wanted: Any, name: str) -> list[str]:
    if isinstance(stored, dict):
        return [line for key in stored for line in _differences(stored[key], wanted[key], f"{name}.{key}".lstrip("."))]
    return [] if stored == wanted else [f"{name}: {stored} -> {wanted}"]
