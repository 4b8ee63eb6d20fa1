"""EENNVectorEnv: many episodes side by side, natively; Gymnasium's vector interface."""

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import numpy.typing as npt

from eenn_envs.asked import asked_evaluators
from eenn_envs.core import EpisodeCore, Indices, Problem, whole_actions
from eenn_envs.layout import Layout, layout_for
from eenn_envs.outcome import evaluation_infos
from eenn_envs.preference import with_preference
from eenn_envs.render import describe
from eenn_rl.errors import InvalidValueError, check

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator

Floats = npt.NDArray[np.float64]
Ends = dict[int, dict[str, Any]]
AutoresetMode = gymnasium.vector.AutoresetMode
_ARGUMENTS = ("evaluators", "num_envs", "layout", "render_mode", "max_episode_steps")


class EENNVectorEnv(gymnasium.vector.VectorEnv[npt.NDArray[np.float32], npt.NDArray[np.int64], Any]):
    """`num_envs` times `EENNEnv`, step for step the same; episodes that end begin anew within the step.

    `evaluators` may be several problems of one layout and backbone: environment i works on number i modulo their
    count. As in Gymnasium's same-step autoreset, ``final_obs`` and ``final_info`` hold the ends. Without `evaluators`
    it is the default problem, or that of `settings`, as in `EENNEnv`. `max_episode_steps` cuts episodes off as
    Gymnasium's `TimeLimit` does; `truncated` bool [num_envs] says which ones the last step did.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": ["ansi"]}  # noqa: RUF012  (Gymnasium's own)

    def __init__(
        self,
        evaluators: "Evaluator | Sequence[Evaluator] | None" = None,
        num_envs: int = 64,
        layout: Layout | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        check(_is_count(num_envs), "num_envs", num_envs, "a whole number of at least 1")
        unlimited = max_episode_steps in (None, -1)  # -1: Gymnasium's word for it
        counted = unlimited or _is_count(max_episode_steps)
        check(counted, "max_episode_steps", max_episode_steps, "a whole number of at least 1, or none")
        self.evaluators = asked_evaluators(evaluators, settings, _ARGUMENTS)
        self.num_envs = int(num_envs)
        self.render_mode = render_mode
        self.max_episode_steps = None if unlimited else max_episode_steps
        self.truncated = np.zeros(self.num_envs, np.bool_)
        self.layout = layout or layout_for(self.evaluators[0].space)
        low, high = self.layout.bounds()
        self.single_action_space = gymnasium.spaces.Discrete(self.layout.actions)
        self.single_observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self._all: Indices = np.arange(self.num_envs)
        self._steps = np.zeros(self.num_envs, np.int64)
        self._begin(self.evaluators)

    def _begin(self, evaluators: "tuple[Evaluator, ...]") -> None:
        self.evaluators = evaluators
        problems = [Problem(evaluator, self.layout) for evaluator in evaluators]
        self._core = EpisodeCore(problems, self._all % len(problems))

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Begin every episode anew; nothing here is random. `options` set fields of `Objective`, as in `EENNEnv`."""
        super().reset(seed=seed if isinstance(seed, int) else None, options=options)
        evaluators = with_preference(self.evaluators, options)
        if evaluators != self.evaluators:
            self._begin(evaluators)
        self.restart(self._all)
        return self.observations(), {}

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[
        npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]
    ]:
        """One decision in every episode; see `EENNEnv.step`."""
        rewards, ends = self.advance(actions)
        terminated = np.zeros(self.num_envs, np.bool_)
        infos: dict[str, Any] = {}
        if ends:
            terminated[[index for index, info in ends.items() if info]] = True
            over = terminated | self.truncated
            infos = self._final_infos(over, ends)
            self.restart(np.flatnonzero(over))
        return self.observations(), rewards, terminated, self.truncated.copy(), infos

    def advance(self, actions: npt.NDArray[np.int64]) -> tuple[Floats, Ends]:
        """Take one decision in every episode, without beginning those anew that it ends.

        Returns the rewards and, by environment, the info of each episode that ended; empty where it was cut off.
        """
        found = whole_actions(actions)
        if len(found) != self.num_envs:
            raise InvalidValueError(
                f"actions: expected {self.num_envs}, one for each environment, found {actions!r:.80}"
            )
        completed, invalid = self._core.step(self._all, found)
        rewards = np.zeros(self.num_envs)
        ends: Ends = {}
        for number, evaluator in enumerate(self.evaluators):
            refused = invalid[self._core.problem_of[invalid] == number]
            rewards[refused] = evaluator.objective.lowest_reward
            ends.update({int(index): {"invalid_action": True} for index in refused})
            built = completed[self._core.problem_of[completed] == number]
            if len(built):
                rewards[built] = self._conclude(evaluator, built, ends)
        if self.max_episode_steps is not None:
            self._cut_off(self.max_episode_steps, ends)
        return rewards, ends

    def _cut_off(self, limit: int, ends: Ends) -> None:
        """Count the step just taken; episodes that have taken `limit` of them end."""
        self._steps += 1
        self.truncated = self._steps >= limit
        for index in np.flatnonzero(self.truncated).tolist():
            ends.setdefault(index, {})

    def _conclude(self, evaluator: "Evaluator", built: Indices, ends: Ends) -> Floats:
        genomes = self._core.genomes[built]
        batch = evaluator.evaluate_batch(genomes)
        for index, info, genome in zip(built.tolist(), evaluation_infos(batch), genomes, strict=True):
            info["genome"] = genome
            ends[index] = info
        reward: Floats = batch.reward
        return reward

    def restart(self, which: Indices) -> None:
        """Begin the episodes `which` anew."""
        self._core.reset(which)
        self._steps[which] = 0

    def observations(self) -> npt.NDArray[np.float32]:
        """What every environment shows now, float32 [num_envs, observation]."""
        return self._core.observations.copy()

    def _final_infos(self, over: npt.NDArray[np.bool_], ends: Ends) -> dict[str, Any]:
        final_obs = np.full(self.num_envs, None, object)
        for index in ends:
            final_obs[index] = self._core.observations[index].copy()
        final_info = _gathered(ends, self.num_envs)
        return {"final_obs": final_obs, "_final_obs": over.copy(), "final_info": final_info, "_final_info": over.copy()}

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """The legal actions of every episode, bool [num_envs, actions]."""
        return self._core.masks.copy()

    def render(self) -> tuple[str, ...] | None:
        """What `EENNEnv.render` says of every episode, where `render_mode` is "ansi"."""
        if self.render_mode != "ansi":
            return None
        spaces = [evaluator.space for evaluator in self.evaluators]
        shown = zip(self._core.problem_of, self._core.genomes, strict=True)
        return tuple(describe(spaces[problem], genome) for problem, genome in shown)


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


def _gathered(infos: Ends, count: int) -> dict[str, Any]:
    """`infos` by environment as Gymnasium's vector info: an array per key, and which environments have it.

    What `VectorEnv._add_info` makes of them one by one, at a fraction of its time.
    """
    gathered: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos.values() for key in info):
        own = [index for index, info in infos.items() if key in info]
        values = [infos[index][key] for index in own]
        texts = isinstance(values[0], str)
        told = np.array(values, object if texts else None)
        array = np.full(count, None, object) if texts else np.zeros((count, *told.shape[1:]), told.dtype)
        array[own] = told
        gathered[key], gathered[f"_{key}"] = array, np.zeros(count, np.bool_)
        gathered[f"_{key}"][own] = True
    return gathered
