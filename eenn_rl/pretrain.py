"""`eenn-rl pretrain`: one policy for many accelerators, preferences and data sets."""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import product
from pathlib import Path

import numpy as np

from eenn_rl.errors import InputFileError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.objective import Objective
from eenn_rl.places import check_apart, check_file, held
from eenn_rl.plugins import backend_maker
from eenn_rl.pretrain_settings import PretrainSettings
from eenn_rl.progress import NullProgress, Progress
from eenn_rl.randomised import core_pool, random_accelerator, random_objective
from eenn_rl.randomised_tables import varied
from eenn_rl.space import SearchSpace
from eenn_rl.tables import AccuracyTables

MEASURED = 0.3
"""Share of the problems that stand on tables as they were measured, where others stand on varied ones."""
SHARED_BY = 4
"""Problems that stand on the same tables: thresholds tuned for one serve the next."""
KEPT = 32
"""Estimators kept, or as many as a window of problems has; beyond, the one not used for the longest is forgotten.

Each holds its tables (ResNet-8: 2 MB, deep backbones 10 to 15 MB) and what has been tuned on them.
"""


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
    `InvalidValueError` before the first update where `out` or `checkpoint` cannot be written or are one file, or where
    another process works with `checkpoint`.
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
    with nullcontext() if checkpoint is None else held(checkpoint, "checkpoint", "--checkpoint"):
        save_policy(out, training.run(progress or NullProgress(), checkpoint))
    return out
