"""The environment: its rules, over one episode and over many at once."""

import functools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import synthetic
from eenn_agents.vec_env import SB3VecEnv
from eenn_envs import EENNEnv, EENNVectorEnv
from eenn_envs.core import EpisodeCore, Problem
from eenn_envs.layout import actions_of, layout_for
from eenn_envs.vector import _gathered
from eenn_rl.errors import EennError, InvalidValueError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.hardware import load_accelerator
from eenn_rl.objective import Objective
from eenn_rl.plugins import make_backend
from eenn_rl.problem import shipped_tables
from eenn_rl.space import Genomes, SearchSpace
from eenn_rl.zoo import make_backbone
from logged_problem import random_tables

Synthetic = synthetic.SyntheticEvaluator


@pytest.fixture
def evaluator() -> Synthetic:
    return synthetic.SyntheticEvaluator(synthetic.space())


def random_actions(rng: np.random.Generator, masks: np.ndarray) -> np.ndarray:
    """A legal action for each row of `masks`, uniform."""
    return np.argmax(rng.random(masks.shape) * masks, axis=1)


def random_episodes(space: SearchSpace, n: int, seed: int) -> tuple[Genomes, list[int]]:
    """Genomes and numbers of steps of `n` random masked episodes; checks masks and bounds on the way."""
    evaluator = synthetic.SyntheticEvaluator(space)
    core = EpisodeCore([Problem(evaluator, layout_for(space))], np.zeros(n, np.intp))
    low, high = core.layout.bounds()
    rng, going, lengths = np.random.default_rng(seed), np.arange(n), np.zeros(n, np.int64)
    while len(going):
        assert core.masks[going].any(1).all()
        assert ((core.observations >= low) & (core.observations <= high)).all()
        lengths[going] += 1
        completed, invalid = core.step(going, random_actions(rng, core.masks[going]))
        assert not len(invalid)
        going = np.setdiff1d(going, completed)
    assert not core.masks.any()
    return core.genomes, lengths.tolist()


def test_gymnasium_checker(evaluator: Synthetic) -> None:
    """Gymnasium's own checker finds nothing to complain about."""
    check_env(EENNEnv(evaluator), skip_render_check=True)


def test_sb3_checker(evaluator: Synthetic) -> None:
    """Stable-baselines3's checker finds nothing to complain about."""
    sb3_check_env(EENNEnv(evaluator))


@pytest.mark.parametrize(
    "changes", [{}, {"max_exits": 1}, {"max_exits": 2}, {"backbone": "mobilenetv2", "max_exits": 6}]
)
def test_random_masked_episodes_end_in_valid_architectures(changes: dict) -> None:
    """Thousands of random masked episodes: masks never empty, bounds kept, every end a legal architecture."""
    space = synthetic.space(**changes)
    genomes, lengths = random_episodes(space, 3000, seed=3)
    assert space.legal(genomes).all()
    assert max(lengths) <= layout_for(space).max_steps


def test_every_architecture_is_reachable() -> None:
    """Each architecture's action sequence passes the masks and builds exactly that architecture."""
    space = synthetic.space(branches=("linear", "conv"), bits=(2, 8), max_exits=3)
    problem = Problem(synthetic.SyntheticEvaluator(space), layout_for(space))
    genomes = np.concatenate(list(space.enumerate()))
    actions, lengths = actions_of(problem.layout, genomes)
    core = EpisodeCore([problem], np.zeros(len(genomes), np.intp))
    finished = np.zeros(len(genomes), np.int64)
    for step in range(actions.shape[1]):
        going = np.flatnonzero(lengths > step)
        completed, invalid = core.step(going, actions[going, step])
        assert not len(invalid)
        finished[completed] = step + 1
    assert np.array_equal(finished, lengths)
    assert np.array_equal(core.genomes, genomes)


def test_problems_on_other_images_are_told_as_alone() -> None:
    """Episodes of two image sizes side by side: each sees what it sees alone, whichever problem comes first."""
    rng = np.random.default_rng(0)
    evaluators = [
        synthetic.SyntheticEvaluator(SearchSpace(make_backbone("resnet8", shape), synthetic.accelerator()))
        for shape in ((1, 16, 16), (3, 32, 32))
    ]
    problems = [Problem(each, layout_for(each.space)) for each in evaluators]
    both = EpisodeCore(problems, np.repeat([0, 1], 20))
    alone = [EpisodeCore([problem], np.zeros(20, np.intp)) for problem in problems]
    going = np.arange(40)
    while len(going):
        actions = random_actions(rng, both.masks[going])
        both.step(going, actions)
        for number, core in enumerate(alone):
            own = going // 20 == number
            core.step(going[own] - 20 * number, actions[own])
            assert np.array_equal(core.observations, both.observations[20 * number : 20 * number + 20])
        going = np.flatnonzero(both.masks.any(axis=1))


def test_vector_equals_single(evaluator: Synthetic) -> None:
    """The vector environment gives each episode what the single one gives, to the last bit."""
    vector = EENNVectorEnv(evaluator, num_envs=5)
    singles = [EENNEnv(evaluator) for _ in range(5)]
    rng = np.random.default_rng(0)
    observations, _ = vector.reset(seed=1)
    alone = np.stack([env.reset(seed=1)[0] for env in singles])
    ends = 0
    for _ in range(200):
        assert np.array_equal(observations, alone)
        masks = vector.action_masks()
        assert np.array_equal(masks, np.stack([env.action_masks() for env in singles]))
        actions = random_actions(rng, masks)
        if rng.random() < 0.1:
            actions[2] = np.argmin(masks[2])
        observations, rewards, terminated, truncated, infos = vector.step(actions)
        for index, env in enumerate(singles):
            alone[index], reward, over, _, info = env.step(actions[index])
            assert (reward, over) == (rewards[index], terminated[index])
            if over:
                ends += 1
                assert np.array_equal(infos["final_obs"][index], alone[index])
                assert info["invalid_action"] == infos["final_info"]["invalid_action"][index]
                if not info["invalid_action"]:
                    assert info["elp"] == infos["final_info"]["elp"][index]
                alone[index] = env.reset()[0]
        assert not truncated.any()
    assert ends > 30


def test_final_infos_are_gymnasiums(evaluator: Synthetic) -> None:
    """Key for key, value for value and type for type what Gymnasium's own gathering makes of the infos, one by one."""
    environment, rng = EENNVectorEnv(evaluator, 32), np.random.default_rng(2)
    environment.reset()
    compared = 0
    for _ in range(25):
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in environment.action_masks()])
        actions[rng.random(32) < 0.05] = -1
        _, ends = environment.advance(actions)
        if ends:
            ends[next(iter(ends))]["failure"] = "made up"
            expected: dict = {}
            for index, info in ends.items():
                expected = environment._add_info(expected, info, index)
            found = _gathered(ends, 32)
            assert found.keys() == expected.keys()
            for key, value in expected.items():
                assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape), key
                assert (found[key] == value).all(), key
            environment.restart(np.array(list(ends)))
            compared += 1
    assert compared > 10


def test_sb3_face_equals_gymnasium_face(evaluator: Synthetic) -> None:
    """Both vector interfaces tell the same story."""
    ours, theirs = EENNVectorEnv(evaluator, num_envs=3), SB3VecEnv(EENNVectorEnv(evaluator, num_envs=3))
    rng = np.random.default_rng(5)
    assert np.array_equal(ours.reset()[0], theirs.reset())
    for _ in range(60):
        actions = random_actions(rng, ours.action_masks())
        assert np.array_equal(np.stack(theirs.env_method("action_masks")), ours.action_masks())
        observations, rewards, over, _, infos = ours.step(actions)
        found, their_rewards, dones, their_infos = theirs.step(actions)
        assert np.array_equal(observations, found)
        assert np.array_equal(rewards, their_rewards)
        assert np.array_equal(over, dones)
        for index in np.flatnonzero(over):
            assert np.array_equal(their_infos[index]["terminal_observation"], infos["final_obs"][index])


def test_same_actions_same_rewards(evaluator: Synthetic) -> None:
    """The same seed and actions give the same observations and rewards, in another environment too."""
    runs = []
    for _ in range(2):
        env, rng = EENNEnv(evaluator), np.random.default_rng(9)
        story = []
        for _ in range(20):
            observation, over = env.reset(seed=4)[0], False
            while not over:
                story.append(observation.tobytes())
                observation, reward, over, _, _ = env.step(int(random_actions(rng, env.action_masks()[None])[0]))
                story.append(reward)
        runs.append(story)
    assert runs[0] == runs[1]


STRANGE = (10**30, -(10**30), 2**63, 2.5, np.float32(0.5), np.nan, np.inf, None, "a", np.uint64(2**64 - 1))


SHAPES = ([1, 2], [], np.zeros((2, 2), int), [1, [2]], {"a": 1})


@pytest.mark.parametrize("action", [-1, 10_000, 35, *STRANGE, *SHAPES])
def test_invalid_action_ends_with_the_lowest_reward(evaluator: Synthetic, action: Any) -> None:
    """An illegal action never raises: it ends the episode with the lowest reward and says so."""
    env = EENNEnv(evaluator)
    env.reset()
    _, reward, terminated, truncated, info = env.step(action)
    assert terminated
    assert not truncated
    assert info == {"invalid_action": True}
    genomes = evaluator.space.sample(np.random.default_rng(0), 2000)
    assert reward <= evaluator.evaluate_batch(genomes).reward.min()


def test_strange_actions_end_only_their_own_episode(evaluator: Synthetic) -> None:
    """Side by side with legal ones, as in the single environment."""
    vector = EENNVectorEnv(evaluator, num_envs=len(STRANGE) + 1)
    vector.reset()
    _, rewards, over, _, infos = vector.step(np.array([0, *STRANGE], object))
    assert over.tolist() == [False] + [True] * len(STRANGE)
    assert infos["final_info"]["invalid_action"][1:].all()
    assert (rewards[1:] == evaluator.objective.lowest_reward).all()


@pytest.mark.parametrize("actions", [np.array([0]), np.array([0, 1, 2]), 0, [], [[0, 1], [0, 1]], [0, [1, 2]], None])
def test_as_many_actions_as_environments(evaluator: Synthetic, actions: Any) -> None:
    """Fewer or more are refused in one line, and no episode goes on."""
    vector = EENNVectorEnv(evaluator, num_envs=2)
    before, _ = vector.reset()
    for step in (vector.step, SB3VecEnv(vector).step):
        with pytest.raises(InvalidValueError, match=r"^actions: expected 2, one for each environment, found "):
            step(actions)
    assert np.array_equal(vector.observations(), before)


def test_there_is_something_to_vectorise(evaluator: Synthetic) -> None:
    """No evaluator, and no environment, are refused in one line each."""
    with pytest.raises(InvalidValueError, match=r"^evaluators must be one evaluator, or several, found \[\]"):
        EENNVectorEnv([], num_envs=2)
    for count in (0, -1, 1.5, "2", None):
        with pytest.raises(InvalidValueError, match=f"^num_envs must be a whole number of at least 1, found {count!r}"):
            EENNVectorEnv(evaluator, num_envs=count)


@pytest.mark.parametrize("kind", [int, np.int8, np.uint64, np.float64, np.array, lambda action: np.array([action])])
def test_whole_numbers_of_any_type_are_actions(evaluator: Synthetic, kind: Callable[[int], Any]) -> None:
    """An action is its value."""
    env = EENNEnv(evaluator)
    observations = []
    for action in (1, kind(1)):
        env.reset()
        observation, _, terminated, _, _ = env.step(action)
        assert not terminated
        observations.append(observation)
    assert np.array_equal(*observations)


def test_step_after_the_end_is_refused(evaluator: Synthetic) -> None:
    """An episode that is over wants a reset."""
    env = EENNEnv(evaluator)
    env.reset()
    env.step(-1)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


def test_info_holds_every_term(evaluator: Synthetic) -> None:
    """The last step's info explains the reward: all terms, and what was built."""
    env = EENNEnv(evaluator)
    env.reset()
    rng, over = np.random.default_rng(2), False
    while not over:
        _, reward, over, _, info = env.step(int(random_actions(rng, env.action_masks()[None])[0]))
    evaluation = evaluator.evaluate(evaluator.space.decode(info["genome"]))
    assert reward == info["reward"] == evaluation.reward
    assert (info["feasible"], info["elp"]) == (evaluation.feasible, evaluation.elp)
    assert tuple(info["exit_rates"][: len(evaluation.estimate.exit_rates)]) == evaluation.estimate.exit_rates
    assert "violation_accuracy" in info


def test_reset_options_change_the_preference(evaluator: Synthetic) -> None:
    """A looser tolerance given to `reset` makes rewards no worse, and shows in the observation."""
    env = EENNEnv(evaluator)
    genome = evaluator.space.sample(np.random.default_rng(11), 1)
    actions, lengths = actions_of(env.layout, genome)
    rewards = []
    for tolerance in (0.0, 0.5):
        observation, _ = env.reset(options={"accuracy_tolerance": tolerance})
        assert observation[env.layout.slices["preference"]][3] == pytest.approx(min(tolerance / 0.1, 1))
        for step in range(lengths[0]):
            _, reward, _, _, _ = env.step(actions[0, step])
        rewards.append(reward)
    assert rewards[0] <= rewards[1]
    with pytest.raises(InvalidValueError, match="did you mean accuracy_tolerance"):
        env.reset(options={"acuracy_tolerance": 0.1})


OPTIONS = {"accuracy_tolerance": 0.5, "overhead": 5.0, "minimise": "latency"}


def test_reset_options_mean_the_same_to_every_face(evaluator: Synthetic) -> None:
    """Observations and rewards of the vector environments are the single one's, from that reset on."""
    single, vector = EENNEnv(evaluator), EENNVectorEnv([evaluator, evaluator], num_envs=3)
    theirs = SB3VecEnv(EENNVectorEnv(evaluator, num_envs=3))
    theirs.set_options(OPTIONS)
    alone, before = single.reset(options=OPTIONS)[0], vector.reset()[0]
    rng = np.random.default_rng(3)
    for options in (OPTIONS, None):
        observations = vector.reset(seed=0, options=options)[0]
        assert np.array_equal(observations, theirs.reset())
        assert not np.array_equal(observations, before)
        for _ in range(5):
            over = False
            alone = single.reset()[0]
            while not over:
                assert (observations == alone).all()
                action = int(random_actions(rng, single.action_masks()[None])[0])
                alone, reward, over, _, _ = single.step(action)
                observations, rewards, _, _, _ = vector.step(np.full(3, action))
                found, their_rewards, _, _ = theirs.step(np.full(3, action))
                assert np.array_equal(observations, found)
                assert (rewards == reward).all()
                assert (their_rewards == reward).all()
    assert all(each.objective == Objective(**OPTIONS) for each in vector.evaluators)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nonsense": 1}, "unknown reset option 'nonsense': known: accuracy_tolerance, "),
        ("hello", "reset options: expected a mapping, as {'accuracy_tolerance': 0.02}, found 'hello'"),
        ({"accuracy_tolerance": "x"}, "accuracy_tolerance must be a number, found 'x'"),
        ({"overhead": None}, "overhead must be a number, found None"),
        ({"deadline_s": "x"}, "deadline_s must be a number, or none, found 'x'"),
        ({"minimise": ["latency"]}, "objective must be one of elp, energy, latency, found ['latency']"),
    ],
)
def test_reset_options_that_mean_nothing_are_one_error_everywhere(
    evaluator: Synthetic, options: Any, words: str
) -> None:
    """The same words from each face; none of them changes its problem."""
    single, vector = EENNEnv(evaluator), EENNVectorEnv(evaluator, num_envs=2)
    theirs = SB3VecEnv(EENNVectorEnv(evaluator, num_envs=2))
    theirs.set_options(options)
    for reset in (lambda: single.reset(options=options), lambda: vector.reset(options=options), theirs.reset):
        with pytest.raises(InvalidValueError) as caught:
            reset()
        assert words in str(caught.value)
    assert single.evaluator is vector.evaluators[0] is evaluator


def test_environments_that_share_a_problem_share_its_options(evaluator: Synthetic) -> None:
    """Different ones for each are refused; a list of equal ones is as good as one."""
    theirs = SB3VecEnv(EENNVectorEnv(evaluator, num_envs=2))
    theirs.set_options([OPTIONS, {}])
    with pytest.raises(InvalidValueError, match="expected the same options for all environments"):
        theirs.reset()
    theirs.set_options([OPTIONS, OPTIONS])
    theirs.reset()
    assert theirs.get_attr("evaluators")[0][0].objective == Objective(**OPTIONS)


def test_reset_options_keep_the_time_limit() -> None:
    """A backend that hangs hangs no longer than before."""
    space = SearchSpace(make_backbone("resnet8", (1, 16, 16)), load_accelerator("quad_edge_tpu"))
    backend = make_backend("multicore", space.accelerator, space.backbone)
    estimator = Estimator(random_tables(space.backbone))
    env = EENNEnv(Evaluator(space, backend, estimator, Objective(), limit_s=1.5))
    env.reset(options={"accuracy_tolerance": 0.05})
    assert env.evaluator.objective.accuracy_tolerance == 0.05
    assert env.evaluator.limit_s == 1.5


def test_load_is_the_share_of_work(evaluator: Synthetic) -> None:
    """With every stage on a group, the `load` slice splits the backbone's MACs evenly over its cores."""
    env = EENNEnv(evaluator)
    genome = np.full((1, 4, 5), -1, np.int16)
    genome[0, 0] = (3, -1, 8, 3, 3)
    actions, lengths = actions_of(env.layout, genome)
    env.reset()
    for step in range(lengths[0]):
        observation = env.step(actions[0, step])[0]
    load = observation[env.layout.slices["load"]]
    assert load[1] == load[2] == pytest.approx(0.5, abs=0.01)
    assert load[[0, 3]].tolist() == [0, 0]


def test_render_shows_the_exits(evaluator: Synthetic) -> None:
    """With render_mode "ansi" the text names what is decided and marks what is not."""
    env = EENNEnv(evaluator, render_mode="ansi")
    env.reset()
    env.step(1)
    text = env.render()
    assert "stack1: ?" in text
    assert f"{evaluator.space.size:,}" in text


def test_importing_registers_without_loading_gymnasium() -> None:
    """`import eenn_envs` pays nothing, and the environment is registered as soon as gymnasium is imported."""
    code = (
        "import sys, eenn_envs; assert not {'gymnasium', 'numpy'} & set(sys.modules); import gymnasium; "
        "assert gymnasium.spec('eenn_rl/EENN-v0').entry_point == 'eenn_envs.single:EENNEnv'"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_start_of_python_costs_next_to_nothing() -> None:
    """What the .pth imports at every start imports nothing else: not even what typing and importlib would take."""
    envs = Path(__file__).parent.parent / "envs"
    assert (envs / "eenn_envs.pth").read_text() == "import eenn_envs\n"
    code = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); import eenn_envs; "
        "sys.exit(' '.join(set(sys.modules) - before - {'eenn_envs', 'eenn_envs.registration'}))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(envs)], capture_output=True, check=False)
    assert not done.stderr.strip()


def test_asking_where_gymnasium_lies_changes_nothing() -> None:
    """After probes that import nothing, as libraries make, the import registers it, and leaves no finder behind."""
    code = (
        "import sys, eenn_envs; from importlib.util import find_spec; before = len(sys.meta_path); "
        "assert find_spec('gymnasium') and find_spec('gymnasium'); assert 'gymnasium' not in sys.modules; "
        "import gymnasium; gymnasium.make('eenn_rl/EENN-v0'); assert len(sys.meta_path) == before - 1"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_finders_that_ask_all_others_go_together() -> None:
    """A second finder of ours, a stranger's that asks the whole path again, an outdated one: it is registered."""
    code = """if True:
        import sys, eenn_envs
        from importlib.util import find_spec
        from eenn_envs.registration import _AfterGymnasium
        class Asking:
            busy = False
            def find_spec(self, name, path=None, target=None):
                if self.busy or name != "gymnasium":
                    return None
                self.busy = True
                try:
                    return find_spec(name)
                finally:
                    self.busy = False
        class Old:
            find_module = staticmethod(lambda *_: None)
        sys.meta_path[:0] = [Asking(), _AfterGymnasium(), Old(), Asking()]
        import gymnasium
        assert gymnasium.spec("eenn_rl/EENN-v0").entry_point == "eenn_envs.single:EENNEnv"
        assert not any(isinstance(finder, _AfterGymnasium) for finder in sys.meta_path)"""
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning", "-c", code], check=True)


def test_module_syntax_makes_it(evaluator: Synthetic) -> None:
    """Gymnasium's own `module:id` form finds the environment, single and vectorised."""
    assert gymnasium.make("eenn_envs:eenn_rl/EENN-v0", evaluator=evaluator).unwrapped.evaluator is evaluator
    assert gymnasium.make_vec("eenn_envs:eenn_rl/EENN-v0", num_envs=3, evaluators=evaluator).num_envs == 3


MAKERS = (gymnasium.make, functools.partial(gymnasium.make_vec, num_envs=2))


def test_a_problem_is_made_of_its_settings(tmp_path: Path) -> None:
    """By their names in `RunConfig`, single and vectorised; each changes what it names and nothing else."""
    shipped_tables("cifar10", "resnet8").save(tmp_path / "tables.npz")
    latency = Objective(minimise="latency")
    given: list[tuple[dict[str, Any], Callable[[Evaluator], Any], Any]] = [
        ({"accelerator": "hetero_quad", "tables": "shipped"}, lambda e: e.space.accelerator.name, "hetero_quad"),
        ({"objective": latency}, lambda e: e.objective, latency),
        ({"objective": {"minimise": "latency"}}, lambda e: e.objective, latency),
        ({"dataset": "cifar10"}, lambda e: e.estimator.tables.dataset, "cifar10"),
        ({"tables": tmp_path / "tables.npz"}, lambda e: e.estimator.tables.dataset, "cifar10"),
        ({"bits": (4, 8), "max_exits": 2}, lambda e: (e.space.bits, e.space.max_exits), ((4, 8), 2)),
    ]
    for settings, looked_at, expected in given:
        single = gymnasium.make("eenn_rl/EENN-v0", **settings).unwrapped
        vector = gymnasium.make_vec("eenn_rl/EENN-v0", num_envs=2, **settings)
        assert looked_at(single.evaluator) == looked_at(vector.evaluators[0]) == expected
        assert (vector.reset()[0] == single.reset()[0]).all()


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"acelerator": "hetero_quad"}, "unknown setting of the environment 'acelerator': did you mean accelerator"),
        ({"backbone": "resnet20"}, "no tables are shipped for data set 'digits' and backbone 'resnet20'"),
        ({"objective": "latency"}, "objective: Input should be a dictionary or an instance of Objective"),
        ({"max_exits": "x"}, "settings of the environment: max_exits: Input should be a valid integer"),
        ({"seed": 3}, "unknown setting of the environment 'seed'"),
    ],
)
def test_settings_that_mean_nothing_are_one_line(make: Any, settings: dict[str, Any], words: str) -> None:
    """What is wrong with which of them."""
    with pytest.raises(EennError, match=words):
        make("eenn_rl/EENN-v0", **settings)


@pytest.mark.parametrize("given", ["hetero_quad", Evaluator, 3, ["x"]])
def test_an_evaluator_that_is_none_is_refused(given: Any) -> None:
    """In one line, which says how to ask for a problem by its settings."""
    for environment in (EENNEnv, EENNVectorEnv):
        with pytest.raises(
            InvalidValueError, match=r"^evaluators?: expected an evaluator, .* accelerator='hetero_quad'"
        ):
            environment(given)


def test_an_evaluator_has_its_own_settings(evaluator: Synthetic) -> None:
    """Others beside it are refused."""
    for environment in (EENNEnv, EENNVectorEnv):
        with pytest.raises(InvalidValueError, match=r"^max_exits: expected either settings .*, found both"):
            environment(evaluator, max_exits=2)


def test_the_vector_environment_renders_every_episode(evaluator: Synthetic) -> None:
    """With render_mode "ansi" it gives one text for each, as single environments do; else nothing."""
    vector, single = EENNVectorEnv(evaluator, 2, render_mode="ansi"), EENNEnv(evaluator, render_mode="ansi")
    vector.reset()
    single.reset()
    vector.step(np.array([1, 0]))
    single.step(1)
    shown = vector.render()
    assert shown is not None
    assert shown[0] == single.render() != shown[1]
    assert EENNVectorEnv(evaluator, 2).render() is None


def test_episodes_are_cut_off_as_by_gymnasiums_time_limit(evaluator: Synthetic) -> None:
    """`max_episode_steps` gives what Gymnasium's own vectorisation of the single environment gives."""
    limit, same_step = 6, {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
    ours = gymnasium.make_vec("eenn_rl/EENN-v0", 3, evaluators=evaluator, max_episode_steps=limit)
    theirs = gymnasium.make_vec(
        "eenn_rl/EENN-v0", 3, "sync", same_step, evaluator=evaluator, max_episode_steps=limit,
        disable_env_checker=True,
    )  # fmt: skip
    sb3 = SB3VecEnv(EENNVectorEnv(evaluator, 3, max_episode_steps=limit))
    rng, cut, ended = np.random.default_rng(7), 0, 0
    for environment in (ours, theirs, sb3):
        environment.reset()
    for _ in range(60):
        actions = random_actions(rng, ours.action_masks())
        actions[0] = -1 if rng.random() < 0.1 else actions[0]
        *found, infos = ours.step(actions)
        *expected, others = theirs.step(actions)
        observations, _, dones, told = sb3.step(actions)
        for one, other in zip(found, expected, strict=True):
            assert np.array_equal(one, other)
        assert np.array_equal(observations, found[0])
        terminated, truncated = found[2:]
        assert dones.tolist() == (terminated | truncated).tolist()
        for index in np.flatnonzero(dones):
            assert np.array_equal(infos["final_obs"][index], others["final_obs"][index])
            assert told[index]["TimeLimit.truncated"] == (truncated & ~terminated)[index]
        cut, ended = cut + int((truncated & ~terminated).sum()), ended + int(terminated.sum())
    assert cut > 10
    assert ended > 2
    with pytest.raises(InvalidValueError, match=r"^max_episode_steps must be a whole number of at least 1, or none"):
        EENNVectorEnv(evaluator, 3, max_episode_steps=0)


def test_the_default_problem_is_there_at_once() -> None:
    """Without arguments the environment is the package's own problem, and an episode on it ends in a valid network."""
    env = EENNEnv()
    _, info = env.reset(seed=0)
    assert info["space_size"] == 58_607_173_632
    rng, over = np.random.default_rng(0), False
    while not over:
        _, _, over, _, info = env.step(int(random_actions(rng, env.action_masks()[None])[0]))
    assert env.evaluator.space.legal(info["genome"][None]).all()


def test_the_code_of_the_docs_runs() -> None:
    """Every Python block of docs/environment.md, one after the other."""
    page = (Path(__file__).parent.parent / "docs" / "environment.md").read_text("utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)  # noqa: S102  our own page
    assert names["many"].num_envs == 256
