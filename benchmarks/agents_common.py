"""What the agent benchmarks share: problems on measured tables, searches in fresh evaluators, results."""

import argparse
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import provenance

from eenn_rl.backbone import Backbone
from eenn_rl.comparison import Cell, hypervolume, improvements
from eenn_rl.episodes import NullRecorder, Recorder
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.hardware import AcceleratorSpec, load_accelerator
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.objective import Objective
from eenn_rl.plugins import make_backend
from eenn_rl.problem import shipped_tables
from eenn_rl.search import AgentSettings
from eenn_rl.space import SearchSpace
from eenn_rl.tables import AccuracyTables


def parser(text: str) -> argparse.ArgumentParser:
    """Options that every agent benchmark takes."""
    made = argparse.ArgumentParser(description=text)
    made.add_argument("--tables", type=Path, help="accuracy tables (default: the shipped ones of digits, resnet8)")
    made.add_argument("--seeds", type=int, default=10)
    return made


def tables_of(arguments: argparse.Namespace) -> AccuracyTables:
    return AccuracyTables.load(arguments.tables) if arguments.tables else shipped_tables("digits", "resnet8")


def evaluator_of(
    estimator: Estimator, accelerator: str | AcceleratorSpec, objective: Objective | None = None, **space: Any
) -> Evaluator:
    """A fresh evaluator: nothing is remembered from another search, but the cost of layers and tuned thresholds.

    Both are the same for all agents and change no result, only seconds.
    """
    spec = load_accelerator(accelerator) if isinstance(accelerator, str) else accelerator
    backbone = estimator.tables.backbone
    branches = space.pop("branches", estimator.tables.branches)
    choices = SearchSpace(backbone, spec, branches, **space)
    return Evaluator(choices, _backend(spec, backbone), estimator, objective or Objective())


@lru_cache(8)
def _backend(spec: AcceleratorSpec, backbone: Backbone) -> HardwareBackend:
    return make_backend("multicore", spec, backbone)


GUIDED = "guided"
"""The default agent without its policy (`--agent ppo --policy-share 0`): guided local search alone."""


class Updates(NullRecorder):
    """Keeps nothing of a search but how often its policy was updated."""

    count = 0

    def add_update(self, episodes: int, entropy: float) -> None:
        """One more."""
        super().add_update(episodes, entropy)
        self.count += 1


def searched(
    agent: str, evaluator: Evaluator, budget: int, seed: int, recorder: Recorder | None = None, **changes: Any
) -> Cell:
    """One search as a cell of a comparison; an untrained policy unless `changes` name one."""
    from eenn_agents.search import search

    kind = "ppo" if agent == GUIDED else agent
    share = {"policy_share": 0.0} if agent == GUIDED else {}
    settings = replace(AgentSettings(agent=kind, budget=budget, policy="untrained"), **share, **changes)
    static, begun = evaluator.static, time.perf_counter()
    history = search(kind, evaluator, settings, seed, recorder).history
    wall_s = time.perf_counter() - begun
    return Cell(
        agent, seed, len(history), improvements(history), float(history.feasible.mean()),
        hypervolume(history, static.estimate.accuracy, static.elp), wall_s,
    )  # fmt: skip


def origin_of(tables: AccuracyTables) -> dict[str, str]:
    """Which tables."""
    return {"dataset": tables.dataset, "backbone": tables.backbone.name, "fingerprint": tables.fingerprint}


def write(name: str, tables: AccuracyTables, data: dict[str, Any], seeds: Iterable[int]) -> None:
    """Write results/`name`.json, with the tables that it stands on."""
    provenance.write(name, {"tables": origin_of(tables), **data}, seeds)
