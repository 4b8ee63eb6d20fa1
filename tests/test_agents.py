"""Agents: the search loop that they share, and what each of them promises."""

import re
import sys
import tomllib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

import synthetic
from eenn_agents import checkpoint as files
from eenn_agents.agent import Task
from eenn_agents.contract import agent_code
from eenn_agents.guided import CHUNK, PATIENCE, STEP, WIDEN, GuidedSearch
from eenn_agents.ledger import Ledger
from eenn_agents.model import build_model
from eenn_agents.moves import distinct, mutate, neighbours
from eenn_agents.ppo import PolicyAndLocal
from eenn_agents.precheck import check_search
from eenn_agents.registry import agent_maker, agent_names
from eenn_agents.search import IDLE_ROUNDS, search
from eenn_agents.simple import RandomSearch
from eenn_agents.surrogate import LEAST, STAYING, _posterior, expected_gains, features
from eenn_envs import EENNEnv, EENNVectorEnv
from eenn_envs.core import Problem
from eenn_envs.layout import layout_for
from eenn_rl.cost import CostReport
from eenn_rl.episodes import EpisodeBatch
from eenn_rl.errors import AgentError, InputFileError, InvalidValueError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.hardware import load_accelerator
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.objective import Objective
from eenn_rl.plugins import make_backend
from eenn_rl.problem import shipped_tables
from eenn_rl.search import AgentSettings
from eenn_rl.space import BRANCH_CORE, CORE, LOCATION, SearchSpace
from eenn_rl.tuning import Mode
from eenn_rl.workload import Workload

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


class InterruptedHereError(KeyboardInterrupt):
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


class Repeating:
    """An agent with nothing new to say after its first word."""

    def __init__(self, task: Task) -> None:
        self.genomes, self.asked, self.patience = next(task.space.enumerate())[:1], 0, 10**9

    def ask(self) -> np.ndarray:
        if self.asked == self.patience:
            raise InterruptedHereError
        self.asked += 1
        return self.genomes

    def tell(self, genomes: np.ndarray, rewards: np.ndarray) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


@pytest.mark.parametrize(("counted", "rounds"), [(True, IDLE_ROUNDS + 1 - 150), (False, IDLE_ROUNDS)])
def test_idle_rounds_count_on_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int, *, counted: bool
) -> None:
    """A resumed search gives up after as many rounds as one without interruption; older checkpoints count anew."""
    agents: list[Repeating] = []

    def make(task: Task) -> Repeating:
        agents.append(Repeating(task))
        agents[0].patience = 150
        return agents[-1]

    monkeypatch.setattr("eenn_agents.search.SAVE_EVERY_S", 0.0)
    monkeypatch.setattr("eenn_agents.search.agent_maker", lambda _: make)
    path = tmp_path / "search.pt"
    with pytest.raises(InterruptedHereError):
        search("repeating", Synthetic(synthetic.space()), SETTINGS, 0, checkpoint=path)
    if not counted:
        files.save(path, {name: part for name, part in files.load(path).items() if name != "idle"})
    assert search("repeating", Synthetic(synthetic.space()), SETTINGS, 0, checkpoint=path).stopped == "exhausted"
    assert agents[1].asked == rounds


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


@pytest.mark.parametrize(("changes", "told"), [
    ({"tables": "cifar10"}, "tables, "),
    ({"branches": ("linear", "conv")}, "branches"),
    ({"bits": (4, 8)}, "bits"),
    ({"max_exits": 3}, "max_exits"),
    ({"thresholds": "global"}, "thresholds"),
    ({"clock_hz": 5e8}, "accelerator, latency_s of static"),
    ({"static_s": 2.0}, "latency_s of static"),
])  # fmt: skip
def test_a_checkpoint_of_another_problem_is_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    """Under the same names, too: by the content of tables, accelerator and cost model; others' texts are the same."""
    path, settings = tmp_path / "search.pt", AgentSettings(agent="random", budget=5)
    search("random", problem(), settings, 0, checkpoint=path)
    with pytest.raises(InputFileError, match=f"found another's \\({told}"):
        search("random", problem(**changes), settings, 0, checkpoint=path)
    documented = search("random", problem(description="now documented"), settings, 0, checkpoint=path)
    assert documented.distinct == 5


def test_a_checkpoint_of_before_goes_on(tmp_path: Path) -> None:
    """It held names alone: what stood behind them is unknown."""
    path, settings = tmp_path / "search.pt", AgentSettings(agent="random", budget=5)
    first = search("random", problem(), settings, 0, checkpoint=path)
    state = files.load(path)
    del state["identity"]["problem"]
    files.save(path, state)
    again = search("random", problem(), settings, 0, checkpoint=path)
    assert np.array_equal(again.history.genomes, first.history.genomes)


def test_a_checkpoint_whose_identity_is_damaged_is_refused(tmp_path: Path) -> None:
    """A problem that is none is another one."""
    path, settings = tmp_path / "search.pt", AgentSettings(agent="random", budget=5)
    search("random", problem(), settings, 0, checkpoint=path)
    state = files.load(path)
    state["identity"]["problem"] = [1, 2]
    files.save(path, state)
    with pytest.raises(InputFileError, match=r"found another's \(problem\)"):
        search("random", problem(), settings, 0, checkpoint=path)


def problem(
    tables: str = "digits",
    thresholds: Mode = "per_exit",
    static_s: float = 1.0,
    clock_hz: float = 1e9,
    description: str = "",
    **changes: Any,
) -> Evaluator:
    """A real problem; `changes` are fields of its space."""
    measured, chip = shipped_tables(tables, "resnet8"), load_accelerator("quad_edge_tpu")
    cores = tuple(replace(core, clock_hz=clock_hz) for core in chip.cores)
    chip = replace(chip, cores=cores, description=description)
    backend = make_backend("multicore", chip, measured.backbone)
    space = SearchSpace(measured.backbone, chip, **{"branches": measured.branches, "bits": measured.bits, **changes})
    return Evaluator(space, Slowed(backend, static_s), Estimator(measured, thresholds), Objective())


class Slowed:
    """A cost model of before, in `times` the time."""

    api_version = 1

    def __init__(self, backend: HardwareBackend, times: float) -> None:
        self.backend, self.times = backend, times

    def evaluate(self, workload: Workload) -> CostReport:
        found = self.backend.evaluate(workload)
        return CostReport(tuple(replace(cost, latency_s=self.times * cost.latency_s) for cost in found.exits))


def test_checkpoints_keep_every_kind_of_value(tmp_path: Path) -> None:
    """Arrays, huge integers of random generators, nested lists and None come back as they were; a set and bytes too."""
    state = {"rng": np.random.default_rng(3).bit_generator.state, "a": np.arange(3, dtype=np.int16), "b": [None, 1.5]}
    state |= {"point": np.array(2.5), "number": np.float32(0.5), "set": {1, 2}, "bytes": b"x", "by": {3: True}}
    files.save(tmp_path / "x" / "state.pt", state)
    found = files.load(tmp_path / "x" / "state.pt")
    assert found["rng"] == state["rng"]
    assert found["b"] == state["b"]
    assert found["a"].dtype == np.int16
    assert found["a"].tolist() == [0, 1, 2]
    assert (found["point"].shape, found["point"].item()) == ((), 2.5)
    for name in ("number", "set", "bytes", "by"):
        assert found[name] == state[name]


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


def test_a_search_computes_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a search runs every pool of mathematics has one thread, torch's too; afterwards what it had before."""
    met: list[int] = []
    tell = GuidedSearch.tell

    def watched(self: GuidedSearch, genomes: Any, rewards: Any) -> None:
        met.extend([torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())])
        met.extend(
            int(number) for number in re.findall("mkl_get_max_threads.. : (.*)", torch.__config__.parallel_info())
        )
        tell(self, genomes, rewards)

    monkeypatch.setattr(GuidedSearch, "tell", watched)
    before = torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]
    torch.set_num_threads(2)
    try:
        search("ppo", Synthetic(synthetic.quad()), SETTINGS, 0)
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before[0])
    assert set(met) == {1}
    assert after == 2
    assert [pool["num_threads"] for pool in threadpool_info()] == before[1]


@given(st.lists(st.lists(st.integers(-2, 2), min_size=4, max_size=4), max_size=30))
def test_distinct_is_the_unique_of_rows(rows: list[list[int]]) -> None:
    """Where each different row comes first, in the order of their numbers, as numpy's `unique` has it."""
    values = np.array(rows, np.int16).reshape(len(rows), 2, 2)
    expected = np.unique(values.reshape(len(rows), 4), axis=0, return_index=True)[1]
    assert distinct(values).tolist() == expected.tolist()
    assert distinct(values[:, :, 1]).tolist() == np.unique(values[:, :, 1], axis=0, return_index=True)[1].tolist()


@pytest.mark.parametrize("cores", [synthetic.MIXED, ((4,), (8,)), ((4, 8), (8,), (4,)), ((2, 4), (4,), (8,))])
def test_neighbours_are_legal_and_reach_everything(cores: tuple[tuple[int, ...], ...]) -> None:
    """Every neighbour is legal and new, and by moves alone the whole of a small space can be reached.

    Also where each core knows bits that no other knows.
    """
    machine = synthetic.accelerator(cores, ())
    space = synthetic.space(spec=machine, branches=("linear",), bits=(2, 4, 8), max_exits=2)
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


def test_a_space_of_one_architecture_has_no_mutation() -> None:
    """What cannot change stays as it is."""
    space = synthetic.space(spec=synthetic.accelerator(((4,),), ()), bits=(4,), max_exits=1)
    only = space.sample(np.random.default_rng(0), 1)[0]
    assert np.array_equal(mutate(space, np.random.default_rng(0), only, 3), only)


def test_mutation_is_legal_and_seeded() -> None:
    """A mutation depends on its generator alone and stays in the space."""
    space = synthetic.quad()
    start = space.sample(np.random.default_rng(0), 1)[0]
    first, second = (mutate(space, np.random.default_rng(4), start, 3) for _ in range(2))
    assert np.array_equal(first, second)
    assert space.legal(first[None]).all()


def known_task(evaluated: int, seed: int = 0) -> tuple[Task, npt.NDArray[np.int16]]:
    """A task of whose architectures so many random ones have been evaluated, and these."""
    evaluator = Synthetic(synthetic.quad())
    ledger = Ledger(Problem(evaluator, layout_for(evaluator.space)), 1000, Kept(), 0)
    genomes = evaluator.space.sample(np.random.default_rng(seed), evaluated)
    ledger.evaluate(genomes)
    return Task(evaluator, SETTINGS, 0, ledger), genomes


def test_what_is_known_to_fall_short_of_accuracy_promises_nothing_on_other_cores() -> None:
    """Locations, branches and bits that were seen to lose too much accuracy are not tried on other cores."""
    task, genomes = known_task(200)
    short = task.ledger.qualities(genomes)[0] < task.evaluator.baseline.floor
    assert short.any()
    assert not short.all()
    other = (genomes[:, :, CORE:] + 1) % len(task.space.accelerator.allocations)
    moved = np.where(genomes[:, :, CORE:] < 0, genomes[:, :, CORE:], other).astype(np.int16)
    gains = expected_gains(task.ledger, np.concatenate([genomes[:, :, :CORE], moved], axis=2), 0.0)
    assert (gains[short] == -1).all()
    assert (gains[~short] >= 0).all()


def test_a_descent_looks_one_move_away_then_two_and_ends() -> None:
    """Neighbours first; after `WIDEN` evaluations without a step neighbours' neighbours too; none after `PATIENCE`."""
    task, genomes = known_task(100)
    start = genomes[[int(np.argmax(task.ledger.rewards(genomes)))]]
    descent = GuidedSearch(task, start, np.random.default_rng(0), restarts=False)
    around = {genome.tobytes() for genome in neighbours(task.space, start[0])}
    near = []
    while len(proposals := descent.ask()):
        near.append(all(genome.tobytes() in around for genome in proposals))
        task.ledger.evaluate(proposals)
        descent.tell(proposals, np.full(len(proposals), -1e9))
    assert all(near[: WIDEN // CHUNK])
    assert not all(near)
    assert len(near) == PATIENCE // CHUNK


def test_a_descent_takes_a_small_gain_but_it_does_not_prolong_it() -> None:
    """Gains below `STEP` move it without starting its patience anew."""
    task, genomes = known_task(100)
    descent = GuidedSearch(task, genomes[:1], np.random.default_rng(0), restarts=False)
    reward, asked = float(task.ledger.rewards(genomes[:1])[0]), 0
    while len(proposals := descent.ask()):
        task.ledger.evaluate(proposals)
        reward += STEP / 2
        descent.tell(proposals, np.full(len(proposals), reward))
        assert (descent.state()["here"] == proposals[0]).all()
        asked += len(proposals)
    assert asked == PATIENCE


def test_a_policy_that_proposes_nothing_feasible_gives_way_to_the_static_network() -> None:
    """Where no proposal is feasible the first descent starts from the network without exits, which is."""
    evaluator = Synthetic(synthetic.quad())
    ledger = Ledger(Problem(evaluator, layout_for(evaluator.space)), 1000, Kept(), 0)
    model = build_model(EENNVectorEnv(evaluator, 1), 0)
    agent = PolicyAndLocal(Task(evaluator, SETTINGS, 0, ledger), model, ledger.problem, trained=True)
    proposed = agent.ask()
    rewards = np.full(len(proposed), -1.0)
    agent.tell(proposed, rewards)
    static = evaluator.static_costs(evaluator.static_bits)[0]
    assert (agent.ask()[0] == static).all()


def test_expected_gains_rank_architectures_better_than_chance() -> None:
    """From 300 random evaluations, the promising half of fresh architectures holds most of their best tenth."""
    task, _ = known_task(300)
    fresh = task.space.sample(np.random.default_rng(1), 200)
    order = np.argsort(-expected_gains(task.ledger, fresh, 0.0))
    best = np.argsort(-task.evaluator.score_batch(fresh).reward)[:20]
    assert np.isin(best, order[:100]).sum() >= 15


def test_the_model_knows_what_it_has_seen_and_doubts_what_it_has_not() -> None:
    """Savings of evaluated architectures are predicted closely and surely; those of others less surely."""
    rng = np.random.default_rng(0)
    seen, wanted = rng.integers(0, 2, (2, 40, 60)).astype(np.float64)
    target = rng.normal(size=(40, 1))
    mean, variance = _posterior(seen, target, seen)
    assert np.corrcoef(mean[:, 0], target[:, 0])[0, 1] > 0.99
    assert variance.max() < 0.1 * _posterior(seen, target, wanted)[1].min()


def test_failed_architectures_do_not_break_the_model() -> None:
    """An infinite cost counts as the worst one seen; with too few evaluations the model says so."""
    task, genomes = known_task(40)
    task.ledger._columns["saving"][3] = -np.inf
    assert np.isfinite(expected_gains(task.ledger, genomes, 0.0)).all()
    with pytest.raises(ValueError, match=f"at least {LEAST}"):
        expected_gains(known_task(LEAST - 1)[0].ledger, genomes, 0.0)


def test_features_say_what_every_block_runs_on() -> None:
    """A block has its stage's bits and allocation; only the block of an exit has a branch and its core.

    Of length 1 each; a stage that stays on the allocation before it, or a branch on its stage's, adds `STAYING`.
    """
    space = synthetic.quad()
    genomes = space.sample(np.random.default_rng(0), 50)
    used = genomes[:, :, LOCATION] >= 0
    core, branch_core = genomes[:, :, CORE], genomes[:, :, BRANCH_CORE]
    moves = (used[:, 1:] & (core[:, 1:] != core[:, :-1])).sum(1)
    stays = space.last_location - moves + (used & (core == branch_core)).sum(1)
    expected = 2 * (space.last_location + 1) + 2 * used.sum(1) + STAYING**2 * stays
    assert np.allclose(np.square(features(space, genomes)).sum(1), expected)
    assert len(np.unique(features(space, genomes), axis=0)) == len(np.unique(genomes, axis=0))


def test_allocations_of_equal_cores_are_alike() -> None:
    """To the model one of four equal cores is nearer to another than to a pair of them; cores that differ are not."""

    def distances(accelerator: str) -> npt.NDArray[np.float64]:
        space = SearchSpace(synthetic.space().backbone, load_accelerator(accelerator))
        seen = features(space, space.static(8))[:: len(space.accelerator.allocations) + 1]
        return np.round(np.linalg.norm(seen[:, np.newaxis] - seen, axis=2), 9)

    equal, differing = distances("quad_edge_tpu"), distances("hetero_quad")
    assert 0 < equal[0, 1] == equal[0, 3] == equal[4, 5] < equal[0, 4] == equal[4, 6]
    assert len(np.unique(differing[0, 1:])) == 1


def test_a_descent_asks_for_different_structures_before_other_cores() -> None:
    """What is asked for together differs in locations, branches or bits, as long as there is such a choice."""
    task, genomes = known_task(100)
    descent = GuidedSearch(task, genomes[:1], np.random.default_rng(0), restarts=False)
    assert len(np.unique(descent.ask()[:, :, :CORE], axis=0)) == CHUNK


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


def install(folder: Path, source: str, entry_points: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution `my-agent` of one module, as pip leaves it, for this test alone."""
    (folder / "my_agent.py").write_text(source)
    info = folder / "my_agent-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-agent\nVersion: 1.0\n")
    points = "".join(f"{name} = {value}\n" for name, value in entry_points.items())
    (info / "entry_points.txt").write_text(f"[eenn_rl.agents]\n{points}")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "my_agent", raising=False)


def test_the_agent_of_the_docs_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied from the page and installed, it is better than random search, and a resumed search equals a whole one."""
    page = (Path(__file__).parent.parent / "docs" / "choosing-an-agent.md").read_text("utf-8")
    section = page.split("## An agent of your own")[1].split("\n## ")[0]
    (source,), (project,) = (re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("python", "toml"))
    install(tmp_path, source, tomllib.loads(project)["project"]["entry-points"]["eenn_rl.agents"], monkeypatch)
    whole = search("climber", Synthetic(synthetic.quad()), SETTINGS, 0)
    assert (whole.distinct, whole.stopped) == (200, "budget")
    chance = search("random", Synthetic(synthetic.quad()), SETTINGS, 0)
    assert whole.curve[-1] > chance.curve[-1]
    path = tmp_path / "search.pt"
    impatient = Impatient(synthetic.quad())
    impatient.patience = 100
    monkeypatch.setattr("eenn_agents.search.SAVE_EVERY_S", 0.0)
    with pytest.raises(InterruptedHereError):
        search("climber", impatient, SETTINGS, 0, checkpoint=path)
    resumed = search("climber", Synthetic(synthetic.quad()), SETTINGS, 0, checkpoint=path)
    assert np.array_equal(resumed.history.genomes, whole.history.genomes)


ASK = "integer array [n, 4, 5] as task.space.sample(rng, n) makes them, n = 0 to end the search; found "
MISBEHAVIOUR = {
    "None": ASK + "None",
    "self.task.space.sample(rng, 3).tolist()": ASK + "a list",
    "self.task.space.sample(rng, 3)[0]": ASK + "an array of int16 [4, 5]",
    "self.task.space.sample(rng, 3) / 2": ASK + "an array of float64 [3, 4, 5]",
    "self.task.space.sample(rng, 3) + [[0], [0], [0], [9]]": "must return legal genomes (task.space.legal), found 3",
}


@pytest.mark.parametrize("asked", MISBEHAVIOUR)
def test_an_agent_that_answers_wrongly_is_told_by_its_name(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says which agent, what `ask()` must return and what it did."""
    source = (
        "import numpy as np\n"
        "class Odd:\n"
        "    def __init__(self, task): self.task = task\n"
        f"    def ask(self):\n        rng = np.random.default_rng(0)\n        return {asked}\n"
        "    def tell(self, genomes, rewards): pass\n"
        "    def state(self): return {}\n"
        "    def restore(self, state): pass\n"
    )
    install(tmp_path, source, {"odd": "my_agent:Odd"}, monkeypatch)
    with pytest.raises(InvalidValueError, match=r"^agent 'odd': ask\(\) must return") as caught:
        search("odd", Synthetic(synthetic.quad()), SETTINGS, 0)
    assert MISBEHAVIOUR[asked] in str(caught.value)


def test_an_agent_that_is_none_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `make(task)` returned lacks methods: they are named."""
    source = "class Half:\n    def ask(self): pass\ndef make(task): return Half()\ndef nothing(task): return None\n"
    install(tmp_path, source, {"half": "my_agent:make", "none": "my_agent:nothing"}, monkeypatch)
    with pytest.raises(InvalidValueError, match=r"agent 'half': .* found a Half without tell, state, restore"):
        search("half", Synthetic(synthetic.quad()), SETTINGS, 0)
    with pytest.raises(InvalidValueError, match=r"agent 'none': .* found None without ask"):
        search("none", Synthetic(synthetic.quad()), SETTINGS, 0)


@pytest.mark.parametrize(
    ("method", "told"),
    [("__init__", "make(task)"), ("ask", "ask()"), ("tell", "tell(genomes, rewards)"), ("state", "state()")],
)
def test_an_agent_that_raises_is_told_by_its_name(
    method: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says which agent, what was asked of it, and where it raised; ours show a bug as a bug."""
    source = "from eenn_agents.simple import RandomSearch\nclass Faulty(RandomSearch):\n"
    source += f"    def {method}(self, *args):\n        return 1 / 0\n"
    install(tmp_path, source, {"faulty": "my_agent:Faulty"}, monkeypatch)
    where = f"agent 'faulty': {told} raised ZeroDivisionError: division by zero (my_agent.py, line 4)"
    with pytest.raises(AgentError, match=re.escape(where)):
        search("faulty", Synthetic(synthetic.quad()), SETTINGS, 0, checkpoint=tmp_path / "search.pt")
    monkeypatch.setattr(RandomSearch, "ask", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        search("random", Synthetic(synthetic.quad()), SETTINGS, 0)


UNKEPT = {
    "{'rng': np.random.default_rng(0)}": "state()['rng'] must be a number, string",
    "{'a': [1, {'b': lambda: 1}]}": "state()['a'][1]['b'] must be a number, string",
    "{'names': np.array(['x'])}": "found an array of str32 [1]",
    "{'things': np.array([None])}": "found an array of object [1]",
    "{'wide': np.longdouble(1)}": "found a longdouble",
    "{'kind': signal.Signals.SIGINT}": "found a Signals",
    "{np.int64(3): 1}": "a key of agent 'keeper': state() must be",
    "self": "state() must be a number, string, None, tensor, numpy array of numbers, or a list or dict of them",
}


@pytest.mark.parametrize("state", UNKEPT)
def test_a_state_that_no_checkpoint_keeps_is_told_when_it_is_saved(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names the agent and the key; not when the search is resumed, and nothing unreadable is left."""
    source = "import signal\nimport numpy as np\nfrom eenn_agents.simple import RandomSearch\n"
    source += f"class Keeper(RandomSearch):\n    def state(self): return {state}\n"
    install(tmp_path, source, {"keeper": "my_agent:Keeper"}, monkeypatch)
    with pytest.raises(InvalidValueError, match=r"agent 'keeper': state\(\)") as caught:
        search("keeper", Synthetic(synthetic.quad()), SETTINGS, 0, checkpoint=tmp_path / "search.pt")
    assert UNKEPT[state] in str(caught.value)
    assert not list(tmp_path.glob("search.pt*"))


def test_integers_of_any_size_are_genomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Genomes as int64 are the same architectures, counted once."""
    source = "from eenn_agents.simple import RandomSearch\n"
    source += "class Wide(RandomSearch):\n    def ask(self): return super().ask().astype('int64')\n"
    install(tmp_path, source, {"wide": "my_agent:Wide"}, monkeypatch)
    found = [search(name, Synthetic(synthetic.quad()), SETTINGS, 0) for name in ("wide", "random")]
    assert np.array_equal(found[0].history.genomes, found[1].history.genomes)


def test_settings_refuse_nonsense() -> None:
    """Settings check themselves."""
    for changes in (
        {"budget": 0},
        {"patience": 0},
        {"policy_share": 1.5},
        {"learning_rate": 0.0},
        {"entropy": -1.0},
        {"episodes_per_update": 1},
        {"clip": float("inf")},
    ):
        with pytest.raises(InvalidValueError):
            AgentSettings(**changes)


@pytest.mark.parametrize("agent", ["local", "random"])
def test_an_agent_without_policy_may_be_told_to_be_untrained(agent: str) -> None:
    """One setting serves a comparison of all agents; a policy that nobody would use is refused."""
    space = synthetic.space()
    for policy in (None, "untrained"):
        check_search(AgentSettings(agent=agent, policy=policy), space)
    with pytest.raises(InvalidValueError, match=f"found agent {agent}, which uses none"):
        check_search(AgentSettings(agent=agent, policy="shipped"), space)


def test_an_agent_that_ends_the_program_is_told() -> None:
    """`sys.exit` in a stranger's agent is no end of the search that a script could take for success."""
    told = r"agent 'mine': ask\(\) raised SystemExit: 1 \(test_agents.py, line"
    with pytest.raises(AgentError, match=told), agent_code("mine", "ask()"):
        sys.exit(1)


def test_an_untrained_search_descends_from_other_exit_locations_each_time() -> None:
    """After the policy's proposals: from the best known for locations that no descent began with, then from those."""
    task, genomes = known_task(64)
    model = build_model(EENNVectorEnv(task.evaluator, 1, layout=task.ledger.problem.layout), 0)
    agent = PolicyAndLocal(task, model, task.ledger.problem, trained=False)
    choices = {genome[:, LOCATION].tobytes() for genome in genomes}
    starts = [agent._next_start(genomes[:1])[0] for _ in choices]
    assert {start[:, LOCATION].tobytes() for start in starts} == choices
    assert len(choices) > 1
    rewards = [float(task.ledger.rewards(start[np.newaxis])[0]) for start in starts]
    assert rewards == sorted(rewards, reverse=True)
    assert rewards[0] == task.ledger.history().reward.max()
    assert (agent._next_start(genomes[:1]) == genomes[:1]).all()
