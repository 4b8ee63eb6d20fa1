"""PretrainSettings: how one policy is trained for many problems."""

from dataclasses import dataclass
from math import inf

from eenn_rl.errors import check
from eenn_rl.options import option
from eenn_rl.tuning import MODES, Mode


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
