"""`eenn-rl pretrain`: one policy for many accelerators, preferences and data sets."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from pathlib import Path

import numpy as np

from eenn_rl.errors import InputFileError, check
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.objective import Objective
from eenn_rl.options import option
from eenn_rl.places import check_apart, check_file
from eenn_rl.plugins import backend_maker
from eenn_rl.progress import NullProgress, Progress
from eenn_rl.randomised import core_pool, random_accelerator, random_objective
from eenn_rl.randomised_tables import varied
from eenn_rl.space import SearchSpace
from eenn_rl.tables import AccuracyTables
from eenn_rl.tuning import MODES, Mode

MEASURED = 0.3
"""Share of the problems that stand on tables as they were measured, where others stand on varied ones."""
SHARED_BY = 4
"""Problems that stand on the same tables: thresholds tuned for one serve the next."""
KEPT = 32
"""Estimators kept, or as many as a window of problems has; beyond, the one not used for the longest is forgotten.

Each holds its tables (ResNet-8: 2 MB, deep backbones 10 to 15 MB) and what has been tuned on them.
"""


@dataclass(frozen=True)
class PretrainSettings:
    """How to train one policy for many problems."""

    updates: int = option(3000, "updates of the policy")
    accelerators: int = option(8, "accelerators per update")
    episodes: int = option(8, "architectures per accelerator and update; each is compared with their mean")
    window: int = option(96, "random accelerators in use at a time")
    lifetime: int = option(8, "updates after which one of them is replaced")
    lessons: int = option(2048, "random architectures from whose best hill climbing starts on each accelerator")
    imitation: float = option(0.5, "weight of imitating the best that it finds")
    learning_rate: float = option(1e-3, "learning rate, falling to a fiftieth")
    entropy: float = option(0.01, "weight of the policy's entropy, falling to a fifth")
    clip: float = option(0.2, "PPO's clip range")
    epochs: int = option(2, "passes over the episodes of each update")
    stop_after: int | None = option(None, "stop after so many of the updates, with the rates that they have by then")
    thresholds: Mode = option(
        "per_exit", "how exits' thresholds are tuned meanwhile: per_exit, or global, which is faster"
    )
    varied_tables: bool = option(True, "draw most problems' accuracies from tables varied at random")
    more_tables: tuple[str, ...] = option((), "further files of measured tables of the same backbone")
    policy: str | None = option(
        None, "policy to go on from: a file, or `shipped`; else an untrained one", metavar="FILE|NAME"
    )
    backend: str = option("multicore", "hardware backend that costs the accelerators")
    max_exits: int = option(4, "most exits of an architecture, the last one included")

    def __post_init__(self) -> None:
        for name in ("updates", "accelerators", "window", "lifetime", "epochs", "max_exits"):
            check(getattr(self, name) >= 1, name.replace("_", " "), getattr(self, name), "at least 1")
        check(self.stop_after is None or self.stop_after >= 1, "stop after", self.stop_after, "at least 1, or none")
        check(self.thresholds in MODES, "thresholds", self.thresholds, "one of " + ", ".join(MODES))
        check(self.episodes >= 2, "episodes", self.episodes, "at least 2: they are compared with each other")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            check(0 < value < inf, name.replace("_", " "), value, "more than 0 and finite")
        check(self.lessons >= 0, "lessons", self.lessons, "at least 0")
        for name in ("imitation", "entropy"):
            check(0 <= getattr(self, name) < inf, name, getattr(self, name), "at least 0 and finite")

    @property
    def last_update(self) -> int:
        """After how many updates it ends."""
        return self.updates if self.stop_after is None else min(self.updates, self.stop_after)


class RandomProblems:
    """Problem number k: accelerator and objective drawn from (seed, k), tables from (seed, k // `SHARED_BY`)."""

    def __init__(self, tables: Sequence[AccuracyTables], settings: PretrainSettings, seed: int) -> None:
        self._tables, self._settings, self._seed = tuple(tables), settings, seed
        self._estimators: OrderedDict[tuple[int, int], Estimator] = OrderedDict()
        self._pool, self._make_backend = core_pool(), backend_maker(settings.backend)

    def __call__(self, number: int) -> Evaluator:
        """Raises `EennError` for the rare machine that cannot run the network at all."""
        rng = np.random.default_rng((self._seed, number))
        accelerator = random_accelerator(rng, self._pool, f"random{number}")
        objective = random_objective(rng, Objective())
        estimator = self._estimator(number // SHARED_BY)
        tables = estimator.tables
        space = SearchSpace(tables.backbone, accelerator, tables.branches, tables.bits, self._settings.max_exits)
        evaluator = Evaluator(space, self._make_backend(accelerator, tables.backbone), estimator, objective)
        _ = evaluator.baseline
        return evaluator

    def _estimator(self, group: int) -> Estimator:
        """Of the tables that a group of problems stands on."""
        rng = np.random.default_rng((self._seed, group, 1))
        base = int(rng.integers(len(self._tables)))
        vary = self._settings.varied_tables and rng.random() >= MEASURED
        key = (base, group if vary else -1)
        if key not in self._estimators:
            tables = varied(self._tables[base], rng) if vary else self._tables[base]
            self._estimators[key] = Estimator(tables, self._settings.thresholds)
        self._estimators.move_to_end(key)
        if len(self._estimators) > max(KEPT, self._settings.window // SHARED_BY + len(self._tables)):
            self._estimators.popitem(last=False)
        return self._estimators[key]


def _further(first: AccuracyTables, files: Sequence[str]) -> list[AccuracyTables]:
    """The tables in `files`, of the same backbone (on images of any size) with the same choices as `first`."""
    found = []
    for name in files:
        tables = AccuracyTables.load(Path(name))
        if _choices(tables) != _choices(first):
            raise InputFileError(
                f"{name}: expected tables of {_choices(first)} as the first, found {_choices(tables)}: measure it alike"
            )
        found.append(tables)
    for name, tables in zip(("the tables", *files), (first, *found), strict=True):
        places = set(zip(tables.row_location.tolist(), tables.row_branch.tolist(), strict=True))
        for location, branch in product(range(len(tables.backbone.blocks) - 1), range(len(tables.branches))):
            if (location, branch) not in places:
                raise InputFileError(
                    f"{name}: expected every branch after every block, found no {tables.branches[branch]!r} after "
                    f"block {location}: measure it again with it"
                )
    return found


def _choices(tables: AccuracyTables) -> str:
    backbone = tables.backbone
    bits = ", ".join(map(str, tables.bits))
    return f"{backbone.name} of {len(backbone.blocks)} blocks, branches {', '.join(tables.branches)}, bits {bits}"


def pretrain(
    tables: AccuracyTables,
    out: Path,
    settings: PretrainSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> Path:
    """Train a policy on random accelerators, with accuracies from `tables` and the settings' `more_tables`.

    It is written to `out` (.npz). Raises `InputFileError` for tables that do not offer the same choices, and
    `InvalidValueError` before the first update where `out` or `checkpoint` cannot be written, or are one file.
    """
    from eenn_agents.policy_file import save_policy
    from eenn_agents.pretraining import Pretraining

    if checkpoint is not None:
        check_apart(out, "--out", checkpoint, "--checkpoint")
    settings = settings or PretrainSettings()
    every = [tables, *_further(tables, settings.more_tables)]
    fingerprints = [each.fingerprint for each in every]
    training = Pretraining(RandomProblems(every, settings, seed), settings, seed, fingerprints)
    check_file(out, "--out")
    if checkpoint is not None:
        check_file(checkpoint, "--checkpoint")
    save_policy(out, training.run(progress or NullProgress(), checkpoint))
    return out
