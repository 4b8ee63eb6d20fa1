"""Agents: the search loop that they share, and what each of them promises."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synthetic
from eenn_agents import checkpoint as files
from eenn_agents.agent import Task
from eenn_agents.ledger import Ledger
from eenn_agents.local import LocalSearch
from eenn_agents.model import build_model
from eenn_agents.moves import mutate, neighbours
from eenn_agents.ppo import PolicyAndLocal
from eenn_agents.registry import agent_maker, agent_names
from eenn_agents.search import search
from eenn_agents.surrogate import features, most_promising_first
from eenn_envs import EENNEnv, EENNVectorEnv
from eenn_envs.core import Problem
from eenn_envs.layout import layout_for
from eenn_rl.episodes import EpisodeBatch
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.search import AgentSettings
from eenn_rl.space import CORE

Synthetic = synthetic.SyntheticEvaluator
SETTINGS = AgentSettings(budget=200, policy="untrained", policy_share=0.5, episodes_per_update=16)
OPTIONAL = ("nsga2",) if find_spec("pymoo") else ()
LEARNERS = ("ppo", "local", "evolution", *OPTIONAL)
SAMPLERS = (*LEARNERS, "random")


class Kept:
    """A recorder that keeps everything, and compares what it is told twice."""

    def __init__(self) -> None:
        self.batches: list[EpisodeBatch] = []
        self.first = 0

    def add_episodes(self, batch: EpisodeBatch) -> None:
        self.batches.append(batch)

    def add_update(self, evaluations: int, entropy: float) -> None:
        pass

    def rewind(self, episodes: int) -> None:
        self.first = episodes

    def flush(self) -> None:
        pass

    def column(self, name: str) -> np.ndarray:
        return np.concatenate([getattr(batch, name) for batch in self.batches])


class InterruptedHereError(Exception):
    pass


class Impatient(Synthetic):
    """Interrupts the search after some evaluations, as a user would."""

    patience = 10**9

    def evaluate_batch(self, genomes: np.ndarray) -> Any:
        if self.distinct > self.patience:
            raise InterruptedHereError
        return super().evaluate_batch(genomes)


@pytest.mark.parametrize("agent", SAMPLERS)
def test_the_budget_counts_distinct_evaluations(agent: str) -> None:
    """A search ends after exactly `budget` distinct architectures, each evaluated and logged once."""
    evaluator, kept = Synthetic(synthetic.quad()), Kept()
    result = search(agent, evaluator, SETTINGS, 0, kept)
    genomes = kept.column("genomes")
    assert len(genomes) == len(np.unique(genomes.reshape(200, -1), axis=0)) == result.distinct == 200
    assert evaluator.distinct == 200
    assert np.array_equal(genomes, result.history.genomes)
    assert result.stopped == "budget"


def test_slow_evaluations_are_handed_to_the_log_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where evaluations take seconds, each portion is logged before the next ; the episodes are the same."""
    clock, waiting = [0.0], []
    monkeypatch.setattr("eenn_agents.ledger.time.monotonic", lambda: clock[0])
    slow, quick = Kept(), Kept()

    class Slow(Synthetic):
        def evaluate_in_portions(self, genomes: np.ndarray) -> Any:
            for start in range(0, len(genomes), 8):
                portion = slice(start, min(start + 8, len(genomes)))
                clock[0] += 2.0
                yield portion, self.evaluate_batch(genomes[portion])
                waiting.append(self.distinct - sum(map(len, slow.batches)))

    first = search("local", Slow(synthetic.quad()), SETTINGS, 0, slow)
    second = search("local", Synthetic(synthetic.quad()), SETTINGS, 0, quick)
    assert set(waiting) == {0}
    for name in ("genomes", "observations", "actions", "seeds"):
        assert np.array_equal(padded(slow, name), padded(quick, name)), name
    assert np.array_equal(first.history.genomes, second.history.genomes)
    assert (first.best[0].reward, len(slow.batches) > len(quick.batches)) == (second.best[0].reward, True)


def padded(kept: Kept, name: str) -> np.ndarray:
    """The steps or values of all episodes, whatever the batches were padded to."""
    if name not in ("observations", "actions"):
        return kept.column(name)
    steps = [getattr(b, name)[np.arange(b.actions.shape[1]) < b.lengths[:, None]] for b in kept.batches]
    return np.concatenate(steps)


@pytest.mark.parametrize("agent", SAMPLERS)
def test_logged_episodes_replay_in_the_environment(agent: str) -> None:
    """Every logged episode, played again in the single environment, gives the same observations, masks and rewards."""
    evaluator, kept = Synthetic(synthetic.space()), Kept()
    search(agent, evaluator, replace(SETTINGS, budget=60), 3, kept)
    env = EENNEnv(evaluator)
    for batch in kept.batches:
        for row in range(0, len(batch), 5):
            observation, _ = env.reset(seed=int(batch.seeds[row]))
            for step in range(batch.lengths[row]):
                assert np.array_equal(observation, batch.observations[row, step])
                assert np.array_equal(env.action_masks(), batch.masks[row, step])
                observation, reward, over, _, _ = env.step(batch.actions[row, step])
                assert reward == batch.rewards[row, step]
            assert over


@pytest.mark.parametrize("agent", SAMPLERS)
def test_the_seed_fixes_a_search(agent: str) -> None:
    """The same seed gives the same evaluations in the same order; another seed gives others."""
    first, again, other = (search(agent, Synthetic(synthetic.quad()), SETTINGS, seed).history for seed in (1, 1, 2))
    assert np.array_equal(first.genomes, again.genomes)
    assert np.array_equal(first.reward, again.reward)
    assert not np.array_equal(first.genomes, other.genomes)


@pytest.mark.parametrize("agent", SAMPLERS)
@pytest.mark.parametrize("patience", [40, 130])
def test_a_resumed_search_equals_an_uninterrupted_one(
    agent: str, patience: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search cut short and continued from its checkpoint evaluates the same architectures in the same order."""
    monkeypatch.setattr("eenn_agents.search.SAVE_EVERY_S", 0.0)
    whole = search(agent, Synthetic(synthetic.quad()), SETTINGS, 5)
    path = tmp_path / "search.pt"
    evaluator = Impatient(synthetic.quad())
    evaluator.patience = patience
    with pytest.raises(InterruptedHereError):
        search(agent, evaluator, SETTINGS, 5, checkpoint=path)
    kept = Kept()
    fresh = Synthetic(synthetic.quad())
    resumed = search(agent, fresh, SETTINGS, 5, kept, checkpoint=path)
    assert fresh.distinct < 200 or kept.first == 0
    assert np.array_equal(resumed.history.genomes, whole.history.genomes)
    assert np.array_equal(resumed.history.reward, whole.history.reward)
    assert np.array_equal(kept.column("genomes"), whole.history.genomes[kept.first :])
    assert [found.architecture for found in resumed.best] == [found.architecture for found in whole.best]


def test_a_finished_search_is_not_searched_again(tmp_path: Path) -> None:
    """Resuming a finished search evaluates nothing new and gives the same result."""
    path = tmp_path / "search.pt"
    first = search("local", Synthetic(synthetic.space()), SETTINGS, 0, checkpoint=path)
    kept = Kept()
    again = search("local", Synthetic(synthetic.space()), SETTINGS, 0, kept, checkpoint=path)
    assert not kept.batches
    assert np.array_equal(first.history.genomes, again.history.genomes)


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    """Another search's checkpoint, or no checkpoint at all, is one clear error and stays untouched."""
    path = tmp_path / "search.pt"
    search("random", Synthetic(synthetic.space()), SETTINGS, 0, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(InputFileError, match="found another's"):
        search("random", Synthetic(synthetic.space()), SETTINGS, 1, checkpoint=path)
    assert path.read_bytes() == before
    path.write_bytes(b"cos\nsystem\n(S'echo unsafe'\ntR.")
    with pytest.raises(InputFileError, match="expected a search checkpoint"):
        search("random", Synthetic(synthetic.space()), SETTINGS, 0, checkpoint=path)


def test_checkpoints_keep_every_kind_of_value(tmp_path: Path) -> None:
    """Arrays, huge integers of random generators, nested lists and None come back as they were."""
    state = {"rng": np.random.default_rng(3).bit_generator.state, "a": np.arange(3, dtype=np.int16), "b": [None, 1.5]}
    files.save(tmp_path / "x" / "state.pt", state)
    found = files.load(tmp_path / "x" / "state.pt")
    assert found["rng"] == state["rng"]
    assert found["b"] == state["b"]
    assert found["a"].dtype == np.int16
    assert found["a"].tolist() == [0, 1, 2]


def test_exhaustive_search_finds_the_optimum() -> None:
    """On a small space exhaustive search visits all of it; its best is the best of the enumeration."""
    space = synthetic.space(branches=("linear",), bits=(2, 8), max_exits=2)
    evaluator = Synthetic(space)
    result = search("exhaustive", evaluator, AgentSettings(budget=space.size + 10), 0)
    assert (result.distinct, result.stopped) == (space.size, "exhausted")
    every = evaluator.evaluate_batch(np.concatenate(list(space.enumerate())))
    assert result.best[0].reward == np.where(every.feasible, every.reward, -np.inf).max()


def test_exhaustive_search_refuses_what_it_cannot_finish() -> None:
    """A space larger than the budget is refused, with its size."""
    with pytest.raises(InvalidValueError, match="expected a budget of at least the"):
        search("exhaustive", Synthetic(synthetic.space()), SETTINGS, 0)


@pytest.mark.parametrize("agent", ["random", "local", "ppo"])
def test_a_space_smaller_than_the_budget_ends_the_search(agent: str) -> None:
    """When there is nothing left to evaluate a search ends by itself."""
    space = synthetic.space(branches=("linear",), bits=(2,), max_exits=2)
    result = search(agent, Synthetic(space), AgentSettings(budget=10**6, policy="untrained"), 0)
    assert result.stopped == "exhausted"
    assert result.distinct <= space.size


def test_results_are_ranked_and_feasible() -> None:
    """`best` holds feasible distinct architectures, best reward first; the curve never falls."""
    result = search("local", Synthetic(synthetic.quad()), SETTINGS, 0)
    rewards = [found.reward for found in result.best]
    assert rewards == sorted(rewards, reverse=True)
    assert all(found.feasible for found in result.best)
    assert len({found.architecture for found in result.best}) == len(result.best)
    assert (np.diff(result.curve[np.isfinite(result.curve)]) >= 0).all()
    assert result.curve[-1] == rewards[0]


@pytest.mark.parametrize("agent", LEARNERS)
def test_learning_agents_beat_random_search(agent: str) -> None:
    """At 200 evaluations each agent's median over three seeds lies above random search's."""
    found = {
        name: np.median([search(name, Synthetic(synthetic.quad()), SETTINGS, seed).curve[-1] for seed in range(3)])
        for name in (agent, "random")
    }
    assert found[agent] > found["random"] + 0.1


def test_neighbours_are_legal_and_reach_everything() -> None:
    """Every neighbour is legal and new, and by moves alone the whole of a small space can be reached."""
    space = synthetic.space(branches=("linear", "conv"), bits=(4, 8), max_exits=2)
    start = space.sample(np.random.default_rng(0), 1)[0]
    seen, front = {start.tobytes()}, [start]
    while front:
        around = neighbours(space, front.pop())
        assert space.legal(around).all()
        for genome in around:
            if genome.tobytes() not in seen:
                seen.add(genome.tobytes())
                front.append(genome)
    assert len(seen) == space.size


def test_mutation_is_legal_and_seeded() -> None:
    """A mutation depends on its generator alone and stays in the space."""
    space = synthetic.quad()
    start = space.sample(np.random.default_rng(0), 1)[0]
    first, second = (mutate(space, np.random.default_rng(4), start, 3) for _ in range(2))
    assert np.array_equal(first, second)
    assert space.legal(first[None]).all()


def test_a_guided_walk_short_of_accuracy_looks_at_structure_first() -> None:
    """Where accuracy is short, neighbours that differ in cores alone come last; elsewhere, or unguided, anywhere."""
    evaluator = Synthetic(synthetic.quad())
    ledger = Ledger(Problem(evaluator, layout_for(evaluator.space)), 1000, Kept(), 0)
    task = Task(evaluator, SETTINGS, 0, ledger)
    genomes = evaluator.space.sample(np.random.default_rng(0), 200)
    rewards = ledger.evaluate(genomes)
    short = ledger.qualities(genomes)[0] < evaluator.baseline.floor

    def cores_last(row: int, *, guided: bool) -> bool:
        walk = LocalSearch(task, genomes[row : row + 1], guided=guided)
        walk.tell(genomes[row : row + 1], rewards[row : row + 1])
        queue = walk.state()["queue"]
        assert len(queue) == len(neighbours(evaluator.space, genomes[row]))
        cores_only = (queue[:, :, :CORE] == genomes[row, :, :CORE]).all((1, 2))
        return bool((np.diff(cores_only.astype(int)) >= 0).all())

    assert short.any()
    assert not short.all()
    assert all(cores_last(row, guided=True) for row in np.flatnonzero(short)[:5])
    assert not any(cores_last(row, guided=True) for row in np.flatnonzero(~short)[:5])
    assert not any(cores_last(row, guided=False) for row in np.flatnonzero(short)[:5])


def test_a_policy_that_proposes_nothing_feasible_gives_way_to_the_static_network() -> None:
    """Where no proposal is feasible the first descent starts from the network without exits, which is."""
    evaluator = Synthetic(synthetic.quad())
    ledger = Ledger(Problem(evaluator, layout_for(evaluator.space)), 1000, Kept(), 0)
    model = build_model(EENNVectorEnv(evaluator, 1), 0)
    agent = PolicyAndLocal(Task(evaluator, SETTINGS, 0, ledger), model, trained=True)
    proposed = agent.ask()
    rewards = np.full(len(proposed), -1.0)
    agent.tell(proposed, rewards)
    static = evaluator.static_costs(evaluator.static_bits)[0]
    assert (agent.ask()[0] == static).all()


def test_the_linear_model_ranks_neighbours_better_than_chance() -> None:
    """From 300 random evaluations, the promising half of fresh architectures holds most of their best tenth."""
    evaluator = Synthetic(synthetic.quad())
    ledger = Ledger(Problem(evaluator, layout_for(evaluator.space)), 1000, Kept(), 0)
    rng = np.random.default_rng(0)
    fresh = evaluator.space.sample(rng, 200)
    assert (most_promising_first(ledger, fresh) == np.arange(200)).all()
    ledger.evaluate(evaluator.space.sample(rng, 300))
    order = most_promising_first(ledger, fresh)
    assert sorted(order) == list(range(200))
    best = np.argsort(-evaluator.score_batch(fresh).reward)[:20]
    assert np.isin(best, order[:100]).sum() >= 15


def test_features_say_what_every_block_runs_on() -> None:
    """A block has its stage's bits and allocation; only the block of an exit has a branch and its core."""
    space = synthetic.quad()
    genomes = space.sample(np.random.default_rng(0), 50)
    exits = (genomes[:, :, 0] >= 0).sum(1)
    blocks = space.last_location + 1
    assert (features(space, genomes).sum(1) == 2 * blocks + 2 * exits).all()
    assert len(np.unique(features(space, genomes), axis=0)) == len(np.unique(genomes, axis=0))


def test_patience_ends_a_search_early() -> None:
    """So many evaluations after the best, the search stops; what it found until then is the same."""
    whole = search("local", Synthetic(synthetic.quad()), replace(SETTINGS, budget=400), 0)
    early = search("local", Synthetic(synthetic.quad()), replace(SETTINGS, budget=400, patience=40), 0)
    assert early.stopped == "stale"
    assert early.distinct < whole.distinct
    assert np.array_equal(early.history.genomes, whole.history.genomes[: early.distinct])
    found_at = int(early.curve.argmax()) + 1
    assert 40 <= early.distinct - found_at < 40 + 8


def test_unknown_agents_offer_near_misses() -> None:
    """A misspelt agent is one clear error."""
    with pytest.raises(InvalidValueError, match="did you mean"):
        agent_maker("evolutoin")


def test_an_installed_agent_is_found_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent of another distribution, in entry-point group `eenn_rl.agents`, searches like our own."""
    (tmp_path / "last_first.py").write_text(
        "import numpy as np\n"
        "class LastFirst:\n"
        "    def __init__(self, task): self.task, self.done = task, False\n"
        "    def ask(self):\n"
        "        statics = self.task.space.static(8)\n"
        "        return statics[:0] if self.done else statics\n"
        "    def tell(self, genomes, rewards): self.done = True\n"
        "    def state(self): return {'done': self.done}\n"
        "    def restore(self, state): self.done = state['done']\n"
    )
    info = tmp_path / "last_first-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: last-first\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[eenn_rl.agents]\nlast = last_first:LastFirst\nbad = no_such_module:make\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert {"last", "bad", "ppo"} <= set(agent_names())
    evaluator = Synthetic(synthetic.space())
    result = search("last", evaluator, SETTINGS, 0)
    assert result.distinct == len(evaluator.space.static(8))
    assert result.best[0].reward == 0
    with pytest.raises(InvalidValueError, match="no_such_module"):
        agent_maker("bad")


def test_settings_refuse_nonsense() -> None:
    """Settings check themselves."""
    for changes in ({"budget": 0}, {"patience": 0}, {"policy_share": 1.5}, {"learning_rate": 0.0}, {"entropy": -1.0}):
        with pytest.raises(InvalidValueError):
            AgentSettings(**changes)
