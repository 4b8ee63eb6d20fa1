"""EENNEnv: design one early-exit network, a decision per step."""

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import numpy.typing as npt

from eenn_envs.asked import asked_evaluators
from eenn_envs.core import INVALID, EpisodeCore, Problem, whole_actions
from eenn_envs.layout import Layout, layout_for
from eenn_envs.outcome import evaluation_infos
from eenn_envs.preference import with_preference
from eenn_envs.render import describe

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator

Observation = npt.NDArray[np.float32]
_ONLY = np.zeros(1, np.intp)
_NO_ACTION = np.full(1, INVALID)


class EENNEnv(gymnasium.Env[Observation, np.int64]):
    """One episode designs one architecture: LOCATION -> BRANCH -> BITS -> CORE -> BRANCH CORE -> next exit.

    The episode ends when the last block's exit is complete (that exit has no BRANCH decision: its classifier is
    fixed). Actions, observation and their ranges: `eenn_envs.layout.Layout`. `action_masks()` says which actions are
    legal; it is never empty while an episode is under way. The reward is 0 until the end, then the evaluation's; the
    last `info` holds its terms, and ``info["genome"]`` what was built. An action that is not legal does not raise: it
    ends the episode with the lowest reward and ``info["invalid_action"]``, as do integers of any size and what is not
    one whole number.

    Without an `evaluator` it is the package's default problem (handwritten digits, ResNet-8, four Edge-TPU-like
    cores), or the one that `settings` of it say: fields of `RunConfig` by name, those of
    `eenn_rl.config.PROBLEM_FIELDS`. `reset(options=...)` may set any field of `Objective` for the episodes from then
    on.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  (Gymnasium's own declaration)

    def __init__(
        self,
        evaluator: "Evaluator | None" = None,
        layout: Layout | None = None,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        (evaluator,) = asked_evaluators(
            None if evaluator is None else [evaluator], settings, ("evaluator", "layout", "render_mode")
        )
        self.layout = layout or layout_for(evaluator.space)
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Discrete(self.layout.actions)
        low, high = self.layout.bounds()
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self._begin(evaluator)

    def _begin(self, evaluator: "Evaluator") -> None:
        self.evaluator = evaluator
        self._core = EpisodeCore([Problem(evaluator, self.layout)], _ONLY)
        self._over = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode; `seed` changes nothing, since nothing here is random."""
        super().reset(seed=seed)
        (evaluator,) = with_preference([self.evaluator], options)
        if evaluator is not self.evaluator:
            self._begin(evaluator)
        self._core.reset(_ONLY)
        self._over = False
        return self._core.observations[0].copy(), {"space_size": self.evaluator.space.size}

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take one decision; see the class."""
        if self._over:
            raise gymnasium.error.ResetNeeded("expected reset() after the end of an episode, found step()")
        found = whole_actions(action)
        completed, invalid = self._core.step(_ONLY, found if len(found) == 1 else _NO_ACTION)
        self._over = bool(len(completed) or len(invalid))
        reward, info = 0.0, dict[str, Any]()
        if len(invalid):
            reward, info = self.evaluator.objective.lowest_reward, {"invalid_action": True}
        elif len(completed):
            batch = self.evaluator.evaluate_batch(self._core.genomes)
            info = {**evaluation_infos(batch)[0], "genome": self._core.genomes[0].copy()}
            reward = info["reward"]
        return self._core.observations[0].copy(), reward, self._over, False, info

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """The legal actions, bool [actions]; sb3-contrib looks for this name."""
        masks: npt.NDArray[np.bool_] = self._core.masks[0].copy()
        return masks

    def render(self) -> str | None:
        """The exits decided so far, one line each, where `render_mode` is "ansi"."""
        return describe(self.evaluator.space, self._core.genomes[0]) if self.render_mode == "ansi" else None
