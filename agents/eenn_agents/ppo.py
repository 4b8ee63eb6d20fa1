"""The default agent: a policy learns by PPO where to search, local search refines what it proposes."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from eenn_agents.agent import Agent, State, Task
from eenn_agents.climbing import best_by_locations
from eenn_agents.guided import GuidedSearch
from eenn_agents.model import Episodes, EpisodicPPO, build_model, joined
from eenn_agents.moves import distinct
from eenn_agents.policy_file import policy_for
from eenn_envs.core import EpisodeCore, Problem
from eenn_envs.vector import EENNVectorEnv
from eenn_rl.errors import InputFileError
from eenn_rl.space import LOCATION, Genomes

ELITE = 32
STARTS = 4
"""How many local searches begin at what the policy found."""
ROUNDS = 8
"""Samplings per update before it takes as many new architectures as it has found."""
QUANTILE = 0.6
"""Advantages are centred on this quantile of the rewards, not their mean: what counts is the best, not the average."""


class PolicySearch:
    """Samples episodes until enough of them are new, evaluates those, and learns from those alone.

    An architecture seen before costs no budget and is left out of the update: without that, nine evaluations in ten
    are wasted once the policy has sharpened.
    """

    def __init__(self, task: Task, model: EpisodicPPO, problem: Problem) -> None:
        settings = task.settings
        self._task, self._settings, self.model = task, settings, model
        self._generator = torch.Generator().manual_seed(task.seed)
        self._core = EpisodeCore([problem], np.zeros(settings.episodes_per_update, np.intp))
        self._asked: Episodes | None = None
        self._elite: Episodes | None = None
        self._elite_rewards = np.zeros(0)
        self._budget = max(1, round(settings.budget * settings.policy_share))
        self.dry = False

    @property
    def left(self) -> float:
        """How much is left of the share of the budget in which it proposes."""
        return max(0.0, 1 - len(self._task.ledger) / self._budget)

    def ask(self) -> Genomes:
        """New architectures, sampled from the policy; none once it proposes only what it knows."""
        found: Episodes | None = None
        for _ in range(ROUNDS):
            sampled = self.model.sample_episodes(self._core, self._generator)
            both = sampled if found is None else joined(found, sampled)
            found = both.take(self._fresh(both.genomes)[: self._settings.episodes_per_update])
            if len(found) == self._settings.episodes_per_update:
                break
        self._asked = found
        self.dry = found is None or len(found) < self._settings.episodes_per_update // 4
        return found.genomes if found is not None else np.zeros((0, self._task.space.max_exits, 5), np.int16)

    def _fresh(self, genomes: Genomes) -> npt.NDArray[np.intp]:
        rows = np.sort(distinct(genomes))
        return rows[~self._task.ledger.known(genomes[rows])]

    def tell(self, _genomes: Genomes, rewards: npt.NDArray[np.float64]) -> None:
        """One PPO update on the episodes just evaluated."""
        if self._asked is None or len(rewards) < 2:
            return
        episodes = self._asked.take(np.arange(len(rewards)))
        self._keep_elite(episodes, rewards)
        centred = rewards - np.quantile(rewards, QUANTILE)
        advantages = np.clip(centred / (rewards.std() + 1e-3), -2, 2)
        settings = self._settings
        entropy = self.model.update(
            episodes,
            advantages,
            learning_rate=settings.learning_rate * (0.1 + 0.9 * self.left),
            entropy=settings.entropy * (0.2 + 0.8 * self.left),
            clip=settings.clip,
            epochs=settings.epochs,
            imitated=self._elite,
            imitation=settings.imitation,
        )
        self._task.ledger.note_update(entropy)
        self.model.logger.record("rollout/reward_mean", float(rewards.mean()))
        self.model.logger.record("rollout/reward_best", float(self._elite_rewards.max()))
        self.model.logger.dump(len(self._task.ledger))

    def _keep_elite(self, episodes: Episodes, rewards: npt.NDArray[np.float64]) -> None:
        every = episodes if self._elite is None else joined(self._elite, episodes)
        merged = np.concatenate([self._elite_rewards, rewards])
        best = np.argsort(-merged, kind="stable")[:ELITE]
        self._elite, self._elite_rewards = every.take(best), merged[best]

    def state(self) -> State:
        """Weights, optimiser, elite and random numbers."""
        return {
            "generator": self._generator.get_state(),
            "policy": self.model.policy.state_dict(),
            "optimiser": self.model.policy.optimizer.state_dict(),
            "elite": None if self._elite is None else dict(vars(self._elite)),
            "elite_rewards": self._elite_rewards,
            "dry": self.dry,
        }

    def restore(self, state: State) -> None:
        """Continue from them."""
        self._generator.set_state(state["generator"])
        try:
            self.model.policy.load_state_dict(state["policy"])
        except RuntimeError:
            raise InputFileError(
                "the search's checkpoint: expected a network as today's policy has, found another: it began with an "
                "earlier shipped policy: start a new run"
            ) from None
        self.model.policy.optimizer.load_state_dict(state["optimiser"])
        self._elite = None if state["elite"] is None else Episodes(**state["elite"])
        self._elite_rewards, self.dry = state["elite_rewards"], state["dry"]


class PolicyAndLocal:
    """Policy and local search in turns: the policy proposes and learns, then comes a descent.

    The policy spreads over the whole space, and each descent ends in another local optimum. After the policy's share of
    the budget, which the descents count into, or once it proposes only what is known, local search goes on alone from
    the best known. Untrained, the policy brings nothing that could be told from chance (docs/choosing-an-agent.md,
    "What the policy does"); a trained one says where to begin.

    With a trained policy a descent starts from the best of its proposals, or, where nothing that it proposed is
    feasible, from the network without exits. An untrained one knows nothing of the problem, and few architectures are
    feasible: the first descent starts from the network without exits, each later one from the best known for a choice
    of exit locations that none started from.
    """

    def __init__(self, task: Task, model: EpisodicPPO, problem: Problem, *, trained: bool) -> None:
        self._task, self._rng = task, task.generator()
        self.policy = PolicySearch(task, model, problem)
        self._local: GuidedSearch | None = None if trained else self._descent(_static(task))
        self._alone, self._trained = False, trained
        self._begun: set[tuple[int, ...]] = set()

    def _descent(self, start: Genomes) -> GuidedSearch:
        return GuidedSearch(self._task, start, self._rng, restarts=False)

    def ask(self) -> Genomes:
        """What the descent under way proposes; after it the policy's proposals; in the end local search's."""
        if self._local is not None:
            proposals = self._local.ask()
            if len(proposals) or self._alone:
                return proposals
            self._local = None
        if self.policy.left > 0 and not self.policy.dry:
            proposals = self.policy.ask()
            if len(proposals):
                return proposals
        self._local, self._alone = GuidedSearch(self._task, self._starts(), self._rng, restarts=True), True
        return self._local.ask()

    def _starts(self) -> Genomes:
        """The best known for each choice of exit locations, the best few: optima differ most in those."""
        history = self._task.ledger.history()
        if not len(history):
            return _static(self._task)
        return history.genomes[best_by_locations(history.genomes, history.reward, STARTS)]

    def _next_start(self, proposed: Genomes) -> Genomes:
        """Where the descent after the policy's proposals starts, the best of which is `proposed` [1, max_exits, 5]."""
        if self._task.ledger.best is None:
            return _static(self._task)
        if self._trained:
            return proposed
        history = self._task.ledger.history()
        for row in best_by_locations(history.genomes, history.reward, ELITE).tolist():
            locations = tuple(history.genomes[row, :, LOCATION].tolist())
            if locations not in self._begun:
                self._begun.add(locations)
                return history.genomes[[row]]
        return proposed

    def tell(self, genomes: Genomes, rewards: npt.NDArray[np.float64]) -> None:
        """To whoever asked; after the policy's proposals a descent starts."""
        if self._local is not None:
            self._local.tell(genomes, rewards)
        else:
            self.policy.tell(genomes, rewards)
            if len(rewards):
                self._local = self._descent(self._next_start(genomes[[int(np.argmax(rewards))]]))
        if self._task.settings.tensorboard and self._task.ledger.best is not None:
            for name, value in zip(("best_reward", "its_accuracy"), self._task.ledger.best, strict=True):
                self.policy.model.logger.record(f"search/{name}", value)
            self.policy.model.logger.dump(len(self._task.ledger))

    def state(self) -> State:
        """Policy, the search under way, and the random numbers."""
        return {
            "policy": self.policy.state(),
            "local": None if self._local is None else self._local.state(),
            "alone": self._alone,
            "begun": sorted(map(list, self._begun)),
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, state: State) -> None:
        """Take all of it up."""
        self.policy.restore(state["policy"])
        self._alone, self._local = state["alone"], None
        self._begun = set(map(tuple, state.get("begun", [])))  # searches from before have none
        if state["local"] is not None:
            self._local = GuidedSearch.resumed(self._task, self._rng, state["local"])
        self._rng.bit_generator.state = state["rng"]


def _static(task: Task) -> Genomes:
    """The network without exits on its best allocation, [1, max_exits, 5]."""
    return task.evaluator.static_costs(task.evaluator.static_bits)[0][np.newaxis]


def make(task: Task) -> Agent:
    """The default agent: from the policy that the settings name, the shipped one where it fits, or an untrained one."""
    problem = task.ledger.problem
    policy = policy_for(task.settings.policy, problem.layout, task.space.backbone.name)
    if policy is not None and policy.info.layout.prospects:
        problem = Problem(task.evaluator, replace(problem.layout, prospects=True))
    environment = EENNVectorEnv(task.evaluator, num_envs=1, layout=problem.layout)
    model = build_model(environment, task.seed, task.settings.tensorboard)
    if policy is not None:
        policy.load_into(model)
    return PolicyAndLocal(task, model, problem, trained=policy is not None)
