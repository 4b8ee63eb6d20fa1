"""One policy for many problems: PPO over randomised accelerators and preferences, with group-relative advantages."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from eenn_agents import checkpoint as files
from eenn_agents.model import EpisodicPPO, build_model
from eenn_agents.policy_file import Policy, policy_of
from eenn_envs.core import EpisodeCore, Problem
from eenn_envs.layout import layout_for
from eenn_envs.vector import EENNVectorEnv
from eenn_rl.errors import EennError, InputFileError
from eenn_rl.progress import Progress
from eenn_rl.serialization import to_json

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator
    from eenn_rl.pretrain import PretrainSettings

SAVE_EVERY_S = 8.0
MakeProblem = Callable[[int], "Evaluator"]
"""The problem of a number: the same number, the same problem."""


@dataclass
class _State:
    update: int = 0
    reward: float = 0.0


class Pretraining:
    """Updates a policy on groups of episodes: each group one problem, each episode compared with its group's mean.

    A window of problems slides on by one per update, so that a problem is met a few dozen times and then never again.
    """

    def __init__(self, make: MakeProblem, settings: "PretrainSettings", seed: int) -> None:
        self._make, self._settings, self._seed = make, settings, seed
        self._problems: dict[int, Problem | None] = {}
        first = self._problem_near(0)
        self.layout, self.backbone = first.layout, first.evaluator.space.backbone.name
        self.model: EpisodicPPO = build_model(EENNVectorEnv(first.evaluator, 1, layout=first.layout), seed)
        self._generator = torch.Generator().manual_seed(seed)
        self._state = _State()

    def _problem_near(self, number: int) -> Problem:
        """Problem `number`, or the next one after it that the backend can cost."""
        while True:
            if number not in self._problems:
                try:
                    evaluator = self._make(number)
                    self._problems[number] = Problem(evaluator, layout_for(evaluator.space))
                    _ = self._problems[number].features  # type: ignore[union-attr]
                except EennError:
                    self._problems[number] = None
            found = self._problems[number]
            if found is not None:
                return found
            number += 1

    def _drawn(self, update: int) -> list[Problem]:
        """The problems of one update, out of the window of the moment."""
        window, settings = self._settings.window, self._settings
        for gone in [number for number in self._problems if number < update]:
            del self._problems[gone]
        rng = np.random.default_rng((self._seed, update))
        numbers = update + rng.choice(window, min(settings.accelerators, window), replace=False)
        return [self._problem_near(int(number)) for number in numbers]

    def step(self) -> float:
        """One update; returns the mean reward of its episodes."""
        settings, state = self._settings, self._state
        problems = self._drawn(state.update)
        group = np.repeat(np.arange(len(problems)), settings.episodes)
        episodes = self.model.sample_episodes(EpisodeCore(problems, group), self._generator)
        genomes = episodes.genomes.reshape(len(problems), settings.episodes, *episodes.genomes.shape[1:])
        batches = zip(problems, genomes, strict=True)
        table = np.stack([problem.evaluator.evaluate_batch(batch).reward for problem, batch in batches])
        advantages = (table - table.mean(1, keepdims=True)) / (table.std(1, keepdims=True) + 0.05)
        left = 1 - state.update / settings.updates
        self.model.update(
            episodes,
            advantages.ravel(),
            learning_rate=settings.learning_rate * (0.1 + 0.9 * left),
            entropy=settings.entropy * (0.2 + 0.8 * left),
            clip=settings.clip,
            epochs=settings.epochs,
        )
        state.update += 1
        mean = float(table.mean())
        state.reward = mean if state.update == 1 else 0.98 * state.reward + 0.02 * mean
        return mean

    def run(self, progress: Progress, checkpoint: Path | None) -> Policy:
        """All updates that are left; saved in `checkpoint` at least every ten seconds."""
        if checkpoint is not None and checkpoint.exists():
            self.restore(files.load(checkpoint), checkpoint)
        progress.phase("pretrain", self._settings.updates)
        saved = time.monotonic()
        while self._state.update < self._settings.updates:
            self.step()
            progress.advance(self._state.update, reward=self._state.reward)
            if checkpoint is not None and time.monotonic() - saved > SAVE_EVERY_S:
                files.save(checkpoint, self.state())
                saved = time.monotonic()
        if checkpoint is not None:
            files.save(checkpoint, self.state())
        trained = {**to_json(self._settings), "seed": self._seed, "reward": self._state.reward}
        return policy_of(self.model, self.layout, self.backbone, trained)

    def _identity(self) -> dict[str, Any]:
        return {"settings": to_json(self._settings), "seed": self._seed, "backbone": self.backbone}

    def state(self) -> dict[str, Any]:
        """All that decides how this goes on."""
        return {
            "identity": self._identity(),
            "progress": [self._state.update, self._state.reward],
            "generator": self._generator.get_state(),
            "policy": self.model.policy.state_dict(),
            "optimiser": self.model.policy.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Continue from `state`; refused where it is another pretraining's."""
        if state.get("identity") != self._identity():
            raise InputFileError(f"{path}: expected the checkpoint of this pretraining, found another's: delete it")
        self._state = _State(*state["progress"])
        self._generator.set_state(state["generator"])
        self.model.policy.load_state_dict(state["policy"])
        self.model.policy.optimizer.load_state_dict(state["optimiser"])
