"""One policy for many problems: PPO over randomised accelerators and preferences, taught by search.

Advantages are relative to the group of episodes on the same problem (Shao et al. 2024, arXiv 2402.03300). On each
problem hill climbing comes first, and the policy imitates the best that it found (expert iteration with one round:
Anthony et al. 2017, arXiv 1705.08439): what a search finds in thousands of evaluations, the policy is to
propose at once.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from eenn_agents import checkpoint as files
from eenn_agents.climbing import climbed
from eenn_agents.model import Episodes, EpisodicPPO, build_model, joined, played
from eenn_agents.policy_file import Policy, digest_of, policy_for, policy_of
from eenn_envs.core import EpisodeCore, Problem
from eenn_envs.layout import layout_for
from eenn_envs.vector import EENNVectorEnv
from eenn_rl.errors import EennError, InputFileError, InvalidValueError
from eenn_rl.networks.loop import threads
from eenn_rl.progress import Progress
from eenn_rl.serialization import to_json

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator
    from eenn_rl.pretrain_settings import PretrainSettings

SAVE_EVERY_S = 8.0
PATIENCE = 200
"""Random problems in a row that may fail: a rare machine cannot run the network; a backend may know none of them."""
NOT_DECISIVE = ("stop_after", "more_tables", "policy")
"""Settings that a checkpoint may be continued with others of: where it stops, and paths, whose content is compared."""
T = TypeVar("T")
MakeProblem = Callable[[int], "Evaluator"]
"""The problem of a number: the same number, the same problem."""


@dataclass
class _State:
    update: int = 0
    reward: float = 0.0


@dataclass(frozen=True)
class _Lesson:
    """A problem, and the episodes that build what hill climbing found best on it (None: there was none)."""

    problem: Problem
    best: Episodes | None


def _first_of(make: Callable[[int], T], numbers: Iterable[int]) -> T:
    """What `make` gives for the first of `numbers` that it can; raises its error after `PATIENCE` in a row."""
    failures = 0
    for number in numbers:
        try:
            return make(number)
        except EennError as error:
            failures += 1
            if failures == PATIENCE:
                raise EennError(
                    f"{PATIENCE} random accelerators in a row cannot be costed; of the last one: {error}"
                ) from None
    raise AssertionError  # never: the numbers do not end


class Pretraining:
    """Updates a policy on groups of episodes: each group one problem, each episode compared with its group's mean.

    A window of problems slides on by one every few updates, so that a problem is met some dozen times and never again.
    """

    def __init__(self, make: MakeProblem, settings: "PretrainSettings", seed: int, tables: Sequence[str] = ()) -> None:
        """`tables` are the fingerprints of those that the problems stand on, for checkpoints and the policy's file."""
        self._make, self._settings, self._seed, self._tables = make, settings, seed, tuple(tables)
        self._lessons: dict[int, _Lesson | EennError] = {}
        first = self._first()
        self.backbone = first.space.backbone.name
        wanted, layout = settings.policy or "untrained", layout_for(first.space)
        begun, self._begun = policy_for(wanted, layout, self.backbone), digest_of(wanted, layout, self.backbone)
        prospects = begun is None or begun.info.layout.prospects
        if settings.varied_tables and not prospects:
            raise InvalidValueError(
                f"policy {settings.policy}: expected one that sees prospects, to tell varied tables apart, found one "
                "that does not: add --no-varied-tables, or begin with an untrained one"
            )
        self.layout = layout_for(first.space, prospects=prospects)
        self.model: EpisodicPPO = build_model(EENNVectorEnv(first, 1, layout=self.layout), seed)
        if begun is not None:
            begun.load_into(self.model)
        self._before = None if begun is None else begun.info.trained
        self._generator = torch.Generator().manual_seed(seed)
        self._state = _State()

    def _first(self) -> "Evaluator":
        """Of the first problem that the backend can cost."""
        return _first_of(self._make, count())

    def _lesson_near(self, number: int) -> _Lesson:
        """The problem of `number`, or the next one after it that the backend can cost."""

        def known(at: int) -> _Lesson:
            if at not in self._lessons:
                try:
                    self._lessons[at] = self._lesson(at)
                except EennError as error:
                    self._lessons[at] = error
            found = self._lessons[at]
            if isinstance(found, EennError):
                raise found
            return found

        return _first_of(known, count(number))

    def _lesson(self, number: int) -> _Lesson:
        evaluator = self._make(number)
        problem = Problem(evaluator, self.layout)
        _ = problem.features
        if not self._settings.lessons:
            return _Lesson(problem, None)
        rng = np.random.default_rng((self._seed, number))
        return _Lesson(problem, played(problem, climbed(evaluator, rng, self._settings.lessons)))

    def _drawn(self, update: int) -> list[_Lesson]:
        """The problems of one update, out of the window of the moment."""
        window, settings = self._settings.window, self._settings
        first = update // settings.lifetime
        for gone in [number for number in self._lessons if number < first]:
            del self._lessons[gone]
        rng = np.random.default_rng((self._seed, update))
        numbers = first + rng.choice(window, min(settings.accelerators, window), replace=False)
        return [self._lesson_near(int(number)) for number in numbers]

    def step(self) -> float:
        """One update; returns the mean reward of its episodes."""
        settings, state = self._settings, self._state
        lessons = self._drawn(state.update)
        group = np.repeat(np.arange(len(lessons)), settings.episodes)
        problems = [lesson.problem for lesson in lessons]
        episodes = self.model.sample_episodes(EpisodeCore(problems, group), self._generator)
        genomes = episodes.genomes.reshape(len(problems), settings.episodes, *episodes.genomes.shape[1:])
        batches = zip(problems, genomes, strict=True)
        table = np.stack([problem.evaluator.score_batch(batch).reward for problem, batch in batches])
        advantages = (table - table.mean(1, keepdims=True)) / (table.std(1, keepdims=True) + 0.05)
        taught = [lesson.best for lesson in lessons if lesson.best is not None]
        left = 1 - state.update / settings.updates
        self.model.update(
            episodes,
            advantages.ravel(),
            learning_rate=settings.learning_rate * (0.02 + 0.98 * left),
            entropy=settings.entropy * (0.2 + 0.8 * left),
            clip=settings.clip,
            epochs=settings.epochs,
            imitated=reduce(joined, taught) if taught else None,
            imitation=settings.imitation,
        )
        state.update += 1
        mean = float(table.mean())
        state.reward = mean if state.update == 1 else 0.98 * state.reward + 0.02 * mean
        return mean

    def run(self, progress: Progress, checkpoint: Path | None) -> Policy:
        """All updates that are left, in one thread as in `search`; saved in `checkpoint` every ten seconds at least."""
        if checkpoint is not None and checkpoint.exists():
            stored = files.load(checkpoint, "pretraining", "use another --checkpoint, or ")
            self.restore(stored, checkpoint)
        progress.phase("pretrain", self._settings.last_update)
        with threads(1), threadpool_limits(1):
            self._update_until_done(progress, checkpoint)
        if checkpoint is not None:
            files.save(checkpoint, self.state())
        return self.policy()

    def _update_until_done(self, progress: Progress, checkpoint: Path | None) -> None:
        saved = time.monotonic()
        while self._state.update < self._settings.last_update:
            self.step()
            progress.advance(self._state.update, reward=self._state.reward)
            if checkpoint is not None and time.monotonic() - saved > SAVE_EVERY_S:
                files.save(checkpoint, self.state())
                saved = time.monotonic()

    def policy(self) -> Policy:
        """The policy as it is now; its file says how it was trained."""
        named = replace(
            self._settings,
            more_tables=tuple(Path(name).name for name in self._settings.more_tables),
            policy=self._settings.policy and Path(self._settings.policy).name,
        )  # where files lay is nobody else's business
        trained = {**to_json(named), "seed": self._seed, "done": self._state.update, "tables": list(self._tables)}
        trained |= {"reward": self._state.reward, "before": self._before}
        return policy_of(self.model, self.layout, self.backbone, trained)

    def _identity(self) -> dict[str, Any]:
        """What decides each update: no end, and no path whose content stands here itself."""
        settings = {key: value for key, value in to_json(self._settings).items() if key not in NOT_DECISIVE}
        identity = {"settings": settings, "seed": self._seed, "backbone": self.backbone, "tables": list(self._tables)}
        return {**identity, "policy": self._begun}

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
        """Continue from `state`; refused where it is another pretraining's, or further than this one is to go."""
        found = list(_differing(_as_today(state.get("identity"), self._begun, self._settings), self._identity()))
        if found:
            raise InputFileError(
                f"{path}: expected the checkpoint of this pretraining, found another's ({', '.join(found)}): use the "
                "same options, or another --checkpoint"
            )
        progress = _State(*state["progress"])
        if progress.update > self._settings.last_update:
            raise InputFileError(
                f"{path}: expected a checkpoint of at most {self._settings.last_update} updates, after which this "
                f"pretraining stops, found one of {progress.update}: stop later, or use another --checkpoint"
            )
        self._state = progress
        self._generator.set_state(state["generator"])
        self.model.policy.load_state_dict(state["policy"])
        self.model.policy.optimizer.load_state_dict(state["optimiser"])


def _as_today(identity: Any, policy: str, settings: "PretrainSettings") -> Any:
    """A stored identity as `_identity` makes it; earlier ones held every setting, and of a policy its path alone."""
    if not isinstance(identity, dict) or not isinstance(identity.get("settings"), dict):
        return identity
    stored = identity["settings"]
    known = {key: value for key, value in stored.items() if key not in NOT_DECISIVE}
    same = "policy" not in identity and stored.get("policy") == settings.policy
    return {"policy": policy if same else None, **identity, "settings": known}


def _differing(before: Any, now: dict[str, Any]) -> Iterator[str]:
    """The names of what is not the same in a stored identity."""
    if not isinstance(before, dict) or before.keys() != now.keys():
        yield "not of a pretraining, or of another version"
        return
    for name, value in now.items():
        if isinstance(value, dict):
            yield from _differing(before[name], value)
        elif before[name] != value:
            yield name.replace("_", " ")
