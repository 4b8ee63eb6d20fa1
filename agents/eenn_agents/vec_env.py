"""SB3VecEnv: the native vector environment as stable-baselines3 wants it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv

from eenn_envs.vector import EENNVectorEnv
from eenn_rl.errors import InvalidValueError

Indices = None | int | Iterable[int]


class SB3VecEnv(VecEnv):
    """`EENNVectorEnv` behind stable-baselines3's interface, for `MaskablePPO` and any other of its algorithms."""

    def __init__(self, environment: EENNVectorEnv) -> None:
        self._environment = environment
        self._actions: npt.NDArray[np.int64] = np.zeros(environment.num_envs, np.int64)
        super().__init__(environment.num_envs, environment.single_observation_space, environment.single_action_space)

    def reset(self) -> npt.NDArray[np.float32]:
        """Begin every episode anew, by what `set_options` asked for."""
        observations, _ = self._environment.reset(options=self._shared_options())
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def _shared_options(self) -> Any:
        """The options that `set_options` was given, which must be one for all environments."""
        asked: Any = self._options
        if not isinstance(asked, list):
            return asked  # no mapping either: the environment says so
        if any(options != asked[0] for options in asked):
            raise InvalidValueError(
                f"set_options: expected the same options for all environments, which share one problem, found "
                f"{asked!r:.80}: give one mapping"
            )
        return asked[0] if asked else None

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        """Keep `actions` for `step_wait`."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """One decision everywhere; episodes that end begin anew, their last observation is in their info."""
        rewards, ends = self._environment.advance(self._actions)
        dones = np.zeros(self.num_envs, np.bool_)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if ends:
            last = self._environment.observations()
            for index, info in ends.items():
                cut_off = not info
                infos[index] = {**info, "terminal_observation": last[index], "TimeLimit.truncated": cut_off}
            dones[list(ends)] = True
            self._environment.restart(np.flatnonzero(dones))
        return self._environment.observations(), rewards, dones, infos

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """The shared environment's attribute, once per environment asked for."""
        value = None if attr_name == "render_mode" else getattr(self._environment, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:  # noqa: ARG002
        """Refused: the environments share their state."""
        raise AttributeError(f"cannot set {attr_name!r} on single environments: they share their state")

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:
        """A method that gives one result per environment, such as `action_masks`."""
        results = getattr(self._environment, method_name)(*args, **kwargs)
        return [results[index] for index in self._get_indices(indices)]

    def has_attr(self, attr_name: str) -> bool:
        """Whether the environment offers `attr_name`."""
        return hasattr(self._environment, attr_name)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Indices = None) -> list[bool]:  # noqa: ARG002
        """Never."""
        return [False for _ in self._get_indices(indices)]
