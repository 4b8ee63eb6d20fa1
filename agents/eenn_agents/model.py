"""EpisodicPPO: sb3-contrib's MaskablePPO, fed with whole episodes whose advantages come from outside.

A reward comes once, at the end, and episodes have at most a few dozen steps; so an update takes complete episodes,
gives every step of one the same advantage and needs no critic (group-relative advantages: Shao et al. 2024, arXiv
2402.03300, section 4.1; clipping as in PPO: Schulman et al. 2017).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import Logger, configure

from eenn_agents.network import PointerPolicy
from eenn_agents.vec_env import SB3VecEnv
from eenn_envs.core import EpisodeCore, Problem
from eenn_envs.layout import Layout, actions_of
from eenn_envs.vector import EENNVectorEnv
from eenn_rl.errors import EennError, not_installed
from eenn_rl.space import Genomes

STEPS = ("observations", "masks", "actions", "log_probs")
"""What `Episodes` holds for each step."""
_EVERY = slice(None)


@dataclass(frozen=True)
class Episodes:
    """`n` complete episodes as flat steps, episode after episode."""

    observations: torch.Tensor
    """float32 [steps, observation]"""
    masks: torch.Tensor
    """bool [steps, actions]"""
    actions: torch.Tensor
    """int64 [steps]"""
    log_probs: torch.Tensor
    """float32 [steps], under the policy that acted."""
    episode: torch.Tensor
    """int64 [steps]: which episode each step belongs to."""
    genomes: Genomes
    """[n, max_exits, 5]"""

    def __len__(self) -> int:
        return len(self.genomes)

    def take(self, which: npt.NDArray[np.intp]) -> "Episodes":
        """The episodes `which`, in that order."""
        rows = [torch.nonzero(self.episode == int(index)).flatten() for index in which]
        steps = torch.cat(rows) if rows else torch.zeros(0, dtype=torch.int64)
        number = torch.repeat_interleave(
            torch.arange(len(rows)), torch.tensor([len(row) for row in rows], dtype=torch.int64)
        )
        taken = {name: getattr(self, name)[steps] for name in STEPS}
        return Episodes(**taken, episode=number, genomes=self.genomes[which])


def joined(first: Episodes, second: Episodes) -> Episodes:
    """The episodes of both."""
    both = {name: torch.cat([getattr(first, name), getattr(second, name)]) for name in STEPS}
    number = torch.cat([first.episode, second.episode + len(first)])
    return Episodes(**both, episode=number, genomes=np.concatenate([first.genomes, second.genomes]))


def played(problem: Problem, genomes: Genomes) -> Episodes:
    """The episodes that build `genomes` on `problem`; their log-probabilities are 0: no policy acted."""
    actions, lengths = actions_of(problem.layout, genomes)
    core = EpisodeCore([problem], np.zeros(len(genomes), np.intp))
    steps: list[tuple[torch.Tensor, ...]] = []
    for step in range(actions.shape[1]):
        going = np.flatnonzero(lengths > step)
        chosen = actions[going, step].astype(np.int64)
        shown = core.observations[going], core.masks[going], chosen, going
        steps.append(tuple(torch.from_numpy(part) for part in shown))
        core.step(going, chosen)
    observations, masks, taken, episode = (torch.cat([step[part] for step in steps]) for part in range(4))
    order = torch.argsort(episode, stable=True)
    nothing = torch.zeros(len(order))
    return Episodes(observations[order], masks[order], taken[order], nothing, episode[order], genomes)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generator seeded within the block and as before after it: weights are initialised from it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class EpisodicPPO(MaskablePPO):
    """MaskablePPO with `sample_episodes` and `update`; all that it inherits works on the vector environment too."""

    def sample_episodes(self, core: EpisodeCore, generator: torch.Generator) -> Episodes:
        """Play every episode of `core` from its beginning to its end, acting by the policy."""
        core.reset(np.arange(core.n))
        self.policy.set_training_mode(False)
        going = np.arange(core.n)
        steps: list[tuple[torch.Tensor, ...]] = []
        while len(going):
            observations = torch.from_numpy(core.observations[going])
            masks = torch.from_numpy(core.masks[going])
            log_probs = self.action_log_probs(observations, masks)
            actions = torch.multinomial(log_probs.exp(), 1, generator=generator)
            chosen = log_probs.gather(1, actions).flatten()
            steps.append((observations, masks, actions.flatten(), chosen, torch.from_numpy(going)))
            completed, _ = core.step(going, actions.flatten().numpy())
            going = np.setdiff1d(going, completed, assume_unique=True)
        parts = [torch.cat([step[part] for step in steps]) for part in range(5)]
        order = torch.argsort(parts[4], stable=True)
        observations, masks, actions, chosen, episode = (part[order] for part in parts)
        return Episodes(observations, masks, actions, chosen, episode, core.genomes.copy())

    @torch.no_grad()
    def action_log_probs(self, observations: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of all actions, float32 [n, actions]; of illegal ones minus infinity."""
        return self._masked_log_probs(observations, masks)

    def _masked_log_probs(self, observations: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.policy.mlp_extractor.forward_actor(observations)
        if not logits.isfinite().all():
            raise EennError(
                "the policy: expected a network that answers with finite numbers, found one whose weights are too "
                "large: a damaged file (--policy), or a learning rate that is too high (--policy-learning-rate)"
            )
        return torch.log_softmax(torch.where(masks, logits, torch.tensor(-torch.inf)), dim=1)

    def _log_probs_and_entropy(
        self, episodes: Episodes, chosen: slice | torch.Tensor = _EVERY
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the actions taken, differentiable, [steps] each."""
        masks = episodes.masks[chosen]
        every = self._masked_log_probs(episodes.observations[chosen], masks)
        legal = torch.where(masks, every, torch.tensor(0.0))  # no gradient may pass through 0 times infinity
        entropy = -(every.exp() * legal).sum(1)
        return every.gather(1, episodes.actions[chosen].unsqueeze(1)).flatten(), entropy

    def update(
        self,
        episodes: Episodes,
        advantages: npt.NDArray[np.float64],
        *,
        learning_rate: float,
        entropy: float,
        clip: float,
        epochs: int,
        minibatches: int = 1,
        generator: torch.Generator | None = None,
        imitated: Episodes | None = None,
        imitation: float = 0.0,
    ) -> float:
        """`epochs` passes of clipped policy gradient over `episodes`; `advantages` [n] hold for all steps of one.

        Returns the entropy that the policy had in the first pass, in nats, mean over the decisions.

        `imitated` episodes' log-likelihood is raised besides, with weight `imitation` (self-imitation: Oh et al. 2018).
        """
        self.policy.set_training_mode(True)
        for group in self.policy.optimizer.param_groups:
            group["lr"] = learning_rate
        weight = torch.from_numpy(advantages).float()[episodes.episode]
        entropies = [
            self._descend(episodes, weight, part, entropy, clip, imitated, imitation)
            for _ in range(epochs) for part in self._parts(len(weight), minibatches, generator)
        ]  # fmt: skip
        self._n_updates += epochs
        return float(np.mean(entropies[: len(entropies) // epochs]))

    @staticmethod
    def _parts(steps: int, minibatches: int, generator: torch.Generator | None) -> Iterator[torch.Tensor | None]:
        if minibatches == 1:
            yield None
            return
        yield from torch.chunk(torch.randperm(steps, generator=generator), minibatches)

    def _descend(
        self,
        episodes: Episodes,
        weight: torch.Tensor,
        part: torch.Tensor | None,
        entropy: float,
        clip: float,
        imitated: Episodes | None,
        imitation: float,
    ) -> float:
        chosen = _EVERY if part is None else part
        log_probs, entropies = self._log_probs_and_entropy(episodes, chosen)
        log_ratio = log_probs - episodes.log_probs[chosen]
        ratio, advantage = log_ratio.exp(), weight[chosen]
        surrogate = torch.min(advantage * ratio, advantage * ratio.clamp(1 - clip, 1 + clip)).mean()
        loss = -surrogate - entropy * entropies.mean()
        if imitated is not None and imitation > 0:
            loss = loss - imitation * self._log_probs_and_entropy(imitated)[0].mean()
        self.policy.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        self.logger.record("train/policy_gradient_loss", -surrogate.item())
        before = entropies.mean().item()
        self.logger.record("train/entropy", before)
        self.logger.record("train/approx_kl", (ratio - 1 - log_ratio).mean().item())
        return before


def build_model(environment: EENNVectorEnv, seed: int, tensorboard: str | None = None) -> EpisodicPPO:
    """An untrained model for problems of the environment's layout; the same seed gives the same weights."""
    with seeded(seed):
        model = EpisodicPPO(
            PointerPolicy,
            SB3VecEnv(environment),
            n_steps=environment.layout.max_steps,
            batch_size=environment.layout.max_steps * environment.num_envs,
            device="cpu",
            policy_kwargs={"layout": environment.layout},
        )
    model.set_logger(_logger(tensorboard))
    return model


def _logger(folder: str | None) -> Logger:
    """stable-baselines3's own, to TensorBoard where a folder is named."""
    if folder is None:
        return Logger(None, [])
    if find_spec("tensorboard") is None:
        raise not_installed("--tensorboard needs the package tensorboard", "tensorboard")
    return configure(folder, ["tensorboard"])


__all__ = ["Episodes", "EpisodicPPO", "Layout", "build_model", "joined", "played", "seeded"]
