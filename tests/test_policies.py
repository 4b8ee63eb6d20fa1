"""Policies as files, pretraining, and proposals."""

import importlib
import json
import tracemalloc
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import measured_problem
import synthetic
from eenn_agents.model import EpisodicPPO, build_model
from eenn_agents.policy_file import load_policy, policy_for, policy_of, save_policy
from eenn_agents.pretraining import Pretraining
from eenn_agents.proposing import proposals
from eenn_envs.core import EpisodeCore, Problem
from eenn_envs.layout import layout_for
from eenn_envs.vector import EENNVectorEnv
from eenn_rl import pretrain as pretrain_module
from eenn_rl.cli import main
from eenn_rl.errors import EennError, InputFileError, InvalidValueError
from eenn_rl.hardware import load_accelerator
from eenn_rl.objective import Objective
from eenn_rl.places import held
from eenn_rl.pretrain import RandomProblems, pretrain
from eenn_rl.pretrain_settings import PretrainSettings
from eenn_rl.progress import NullProgress
from eenn_rl.randomised import core_pool, random_accelerator, random_objective
from eenn_rl.search import AgentSettings
from eenn_rl.serialization import to_json
from eenn_rl.space import SearchSpace
from eenn_rl.tables import AccuracyTables
from eenn_rl.zoo import BACKBONES, make_backbone

Synthetic = synthetic.SyntheticEvaluator
POLICIES = Path(str(resources.files("eenn_agents"))) / "policies"
SMALL = PretrainSettings(updates=6, accelerators=3, episodes=4, window=4, lifetime=1, lessons=16)


def make_problem(number: int) -> Synthetic:
    """Problem `number`: a machine and a landscape of its own; one in seven cannot be costed."""
    if number % 7 == 3:
        raise EennError("this machine cannot run the network")
    rng = np.random.default_rng(number)
    space = synthetic.space(spec=synthetic.accelerator(((2, 4, 8),) * int(rng.integers(2, 5)), ((0, 1),)))
    return Synthetic(space, estimator=number)


def untrained(seed: int = 0) -> tuple[EpisodicPPO, Synthetic]:
    evaluator = Synthetic(synthetic.quad())
    return build_model(EENNVectorEnv(evaluator, 1), seed), evaluator


@pytest.fixture
def policy_path(tmp_path: Path) -> Path:
    model, evaluator = untrained()
    path = tmp_path / "policy.npz"
    save_policy(path, policy_of(model, layout_for(evaluator.space), "resnet8", {"updates": 0}))
    return path


def test_a_policy_survives_its_file(policy_path: Path) -> None:
    """Saved and loaded, a policy gives the same action probabilities (to half precision) and says what it is for."""
    model, evaluator = untrained()
    other, _ = untrained(seed=1)
    policy = load_policy(policy_path)
    policy.load_into(other)
    core = EpisodeCore([Problem(evaluator, layout_for(evaluator.space))], np.zeros(3, np.intp))
    import torch

    shown = torch.from_numpy(core.observations), torch.from_numpy(core.masks)
    assert torch.allclose(model.action_log_probs(*shown), other.action_log_probs(*shown), atol=1e-3)
    assert policy.info.backbone == "resnet8"
    assert policy_path.stat().st_size < 500_000


def test_a_policy_says_what_it_does_not_fit(policy_path: Path) -> None:
    """Another backbone or other bits are refused with the reason; nothing is guessed."""
    evaluator = Synthetic(synthetic.quad(bits=(4, 8)))
    with pytest.raises(EennError, match=r"trained for bits \(2, 4, 8\), the problem has \(4, 8\)"):
        policy_for(str(policy_path), layout_for(evaluator.space), "resnet8")
    with pytest.raises(EennError, match="trained for backbone 'resnet8'"):
        policy_for(str(policy_path), layout_for(synthetic.quad()), "resnet20")
    assert policy_for("untrained", layout_for(evaluator.space), "resnet8") is None


def test_a_policy_serves_machines_with_more_allocations(policy_path: Path) -> None:
    """Thirteen allocations, one more than the standard layout holds: proposals are legal and use the last ones too."""
    groups = (*((a, b) for a in range(4) for b in range(a)), (0, 1, 2), (0, 1, 3), (0, 1, 2, 3))
    evaluator = Synthetic(synthetic.space(spec=synthetic.accelerator(((2, 4, 8),) * 4, groups)))
    assert layout_for(evaluator.space).allocations == 13
    policy = policy_for(str(policy_path), layout_for(evaluator.space), "resnet8")
    assert policy is not None
    genomes = proposals(evaluator, policy, 64, 0)
    assert evaluator.space.legal(genomes).all()
    assert genomes[:, :, 3:].max() == 12


def test_pretraining_goes_on_from_a_policy(policy_path: Path, tmp_path: Path) -> None:
    """Given a policy it starts with that one's weights, and the new file says what came before."""
    begun = Pretraining(make_problem, replace(SMALL, policy=str(policy_path), varied_tables=False), 1)
    for name, weight in load_policy(policy_path).weights.items():
        assert np.array_equal(begun.policy().weights[name], weight), name
    begun.step()
    save_policy(tmp_path / "further.npz", begun.policy())
    told = load_policy(tmp_path / "further.npz").info.trained
    assert (told["done"], told["before"]) == (1, {"updates": 0})


def test_strange_policy_files_are_refused(policy_path: Path, tmp_path: Path) -> None:
    """A missing file, one that is no archive, pickled objects and wrong shapes are one clear error each."""
    with pytest.raises(InputFileError, match="found none"):
        load_policy(tmp_path / "missing.npz")
    strange = tmp_path / "strange.npz"
    strange.write_bytes(b"not an archive")
    with pytest.raises(InputFileError, match="expected a policy"):
        load_policy(strange)
    np.savez(strange, info=np.array([{"a": object()}], dtype=object))
    with pytest.raises(InputFileError, match="expected a policy"):
        load_policy(strange)
    with np.load(policy_path) as file:
        arrays = dict(file)
    name = "mlp_extractor.choices.weight"
    np.savez(strange, **{**arrays, name: arrays[name][:-1]})
    with pytest.raises(InputFileError, match=r"choices\.weight of shape"):
        load_policy(strange)
    np.savez(strange, **{**arrays, name: np.full_like(arrays[name], np.nan)})
    with pytest.raises(InputFileError, match="finite"):
        load_policy(strange)
    np.savez(strange, **{**arrays, name: np.full(arrays[name].shape, 1e300)})
    with pytest.raises(InputFileError, match="finite"):
        load_policy(strange)
    info = json.loads(arrays["info"].tobytes())
    info["format_version"] = 99
    np.savez(strange, **{**arrays, "info": np.frombuffer(json.dumps(info).encode(), np.uint8)})
    with pytest.raises(InputFileError, match="format"):
        load_policy(strange)


@pytest.mark.parametrize("size", [60_000.0, 3e38])
def test_policies_with_huge_weights_end(size: float, policy_path: Path, tmp_path: Path) -> None:
    """However bad finite weights make legal choices look, only those are taken, or one line ends it."""
    with np.load(policy_path) as file:
        arrays = {name: file[name].astype(np.float32) if name != "info" else file[name] for name in file.files}
    for name, values in arrays.items():
        if name != "info":
            values[...] = size if name.endswith("bias") else 0
    arrays["mlp_extractor.queries.weight"][...] = -size
    arrays["mlp_extractor.choices.weight"][...] = -size
    path = tmp_path / "huge.npz"
    np.savez(path, **arrays)
    evaluator, policy = Synthetic(synthetic.quad()), load_policy(path)
    if size > 1e6:
        with pytest.raises(EennError, match="finite numbers, found one whose weights are too large"):
            proposals(evaluator, policy, 2, 0)
    else:
        assert evaluator.space.legal(proposals(evaluator, policy, 2, 0)).all()


def test_a_learning_rate_that_breaks_the_policy_ends_nothing() -> None:
    """The search spends its budget on legal architectures all the same."""
    from eenn_agents.search import search

    settings = AgentSettings(budget=400, policy="untrained", policy_share=1.0, learning_rate=1e30)
    assert search("ppo", Synthetic(synthetic.quad()), settings, 0).distinct == 400


def test_damaged_policies_are_refused(policy_path: Path, tmp_path: Path) -> None:
    """Whatever byte is flipped: one clear line, or weights that pass every check."""
    data, refused = policy_path.read_bytes(), 0
    for at in np.random.default_rng(0).integers(0, len(data), 100).tolist():
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            load_policy(tmp_path / "damaged.npz")
        except InputFileError:
            refused += 1
    assert refused > 80


def test_a_policy_that_would_fill_the_memory_is_refused(policy_path: Path, tmp_path: Path) -> None:
    """Nothing is unpacked of a file that would take too much, and of others only what a policy holds."""
    with np.load(policy_path) as file:
        arrays = dict(file)
    path = tmp_path / "large.npz"
    np.savez_compressed(path, **arrays, more=np.zeros(70_000_000, np.uint8))
    with pytest.raises(InputFileError, match="at most 67108864 bytes, found 70"):
        load_policy(path)
    np.savez_compressed(path, **arrays, more=np.zeros(50_000_000, np.uint8))
    tracemalloc.start()
    assert load_policy(path).info == load_policy(policy_path).info
    assert tracemalloc.get_traced_memory()[1] < 25_000_000
    tracemalloc.stop()


def test_a_description_that_is_no_json_is_refused(policy_path: Path, tmp_path: Path) -> None:
    """Brackets without end too."""
    with np.load(policy_path) as file:
        arrays = dict(file)
    for text in (b"{", b"[" * 100_000):
        np.savez(tmp_path / "strange.npz", **{**arrays, "info": np.frombuffer(text, np.uint8)})
        with pytest.raises(InputFileError, match="info: expected JSON"):
            load_policy(tmp_path / "strange.npz")


@pytest.mark.parametrize(
    "layout",
    [{"blocks": 10**12}, {"exits": 10**9}, {"allocations": 10**9}, {"cores": 10**30}, {"branches": []}, {"bits": []}],
    ids=str,
)
def test_a_layout_that_no_network_has_is_refused(layout: dict, policy_path: Path, tmp_path: Path) -> None:
    """Before anything of its size is made."""
    with np.load(policy_path) as file:
        arrays = dict(file)
    info = json.loads(arrays["info"].tobytes())
    info["layout"] |= {"prospects": True, **layout}
    arrays["info"] = np.frombuffer(json.dumps(info).encode(), np.uint8)
    np.savez(tmp_path / "hostile.npz", **arrays)
    with pytest.raises(InputFileError, match="expected a layout"):
        load_policy(tmp_path / "hostile.npz")


def test_pretraining_learns() -> None:
    """On problems that it has never met, a pretrained policy's samples are worth more than an untrained one's."""
    settings = replace(SMALL, updates=30, accelerators=6, episodes=8)
    trained = Pretraining(make_problem, settings, 0).run(NullProgress(), None)
    model, _ = untrained()
    raw = policy_of(model, layout_for(synthetic.quad()), "resnet8", {})
    worth = []
    for policy in (trained, raw):
        unseen = [make_problem(number) for number in (1000, 1001, 1005, 1008)]
        worth.append(np.mean([problem.evaluate_batch(proposals(problem, policy, 16, 0)).reward for problem in unseen]))
    assert worth[0] > worth[1] + 0.1


def test_resumed_pretraining_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Cut short after three updates and continued from its checkpoint, pretraining ends in the same weights."""
    from eenn_agents import checkpoint as files

    whole = Pretraining(make_problem, SMALL, 3).run(NullProgress(), None)
    first = Pretraining(make_problem, SMALL, 3)
    for _ in range(3):
        first.step()
    files.save(tmp_path / "pretrain.pt", first.state())
    resumed = Pretraining(make_problem, SMALL, 3).run(NullProgress(), tmp_path / "pretrain.pt")
    for name, weight in whole.weights.items():
        assert np.array_equal(weight, resumed.weights[name]), name
    with pytest.raises(InputFileError, match="found another's"):
        Pretraining(make_problem, SMALL, 4).run(NullProgress(), tmp_path / "pretrain.pt")


def test_a_pretraining_that_stopped_goes_on_to_its_end(tmp_path: Path) -> None:
    """From the checkpoint that it left after three updates: the same weights as without a stop. It never goes back."""
    path = tmp_path / "pretrain.pt"
    whole = Pretraining(make_problem, SMALL, 3).run(NullProgress(), None)
    stopped = Pretraining(make_problem, replace(SMALL, stop_after=3), 3).run(NullProgress(), path)
    assert stopped.info.trained["done"] == 3
    resumed = Pretraining(make_problem, SMALL, 3).run(NullProgress(), path)
    assert resumed.info.trained["done"] == SMALL.updates
    for name, weight in whole.weights.items():
        assert np.array_equal(weight, resumed.weights[name]), name
    with pytest.raises(InputFileError, match=r"a checkpoint of at most 3 updates, .* found one of 6: stop later"):
        Pretraining(make_problem, replace(SMALL, stop_after=3), 3).run(NullProgress(), path)


def test_a_checkpoint_of_before_goes_on(tmp_path: Path) -> None:
    """It held every setting, where it stops and the policy's path included."""
    from eenn_agents import checkpoint as files

    path, stopping = tmp_path / "pretrain.pt", replace(SMALL, stop_after=3)
    Pretraining(make_problem, stopping, 3).run(NullProgress(), path)
    state = files.load(path)
    del state["identity"]["policy"]
    state["identity"]["settings"] = to_json(stopping)
    files.save(path, state)
    assert Pretraining(make_problem, SMALL, 3).run(NullProgress(), path).info.trained["done"] == SMALL.updates


def test_a_checkpoint_knows_the_policy_that_it_began_with(policy_path: Path, tmp_path: Path) -> None:
    """By its content: the file may be named otherwise, and may not hold another policy."""
    settings = replace(SMALL, policy=str(policy_path), varied_tables=False, stop_after=1)
    path, other = tmp_path / "pretrain.pt", tmp_path / "other.npz"
    other.write_bytes(policy_path.read_bytes())
    Pretraining(make_problem, settings, 1).run(NullProgress(), path)
    settings = replace(settings, policy=str(other), stop_after=2)
    Pretraining(make_problem, settings, 1).run(NullProgress(), path)
    model, evaluator = untrained(seed=7)
    save_policy(other, policy_of(model, layout_for(evaluator.space), "resnet8", {"updates": 0}))
    with pytest.raises(
        InputFileError, match=r"found another's \(policy\): use the same options, or another --checkpoint"
    ):
        Pretraining(make_problem, settings, 1).run(NullProgress(), path)


def test_another_checkpoint_is_told_by_what_differs(policy_path: Path, tmp_path: Path) -> None:
    """Nobody is sent to delete a file that is something else: it may be a policy, or a search's checkpoint."""
    from eenn_agents.search import search

    path = tmp_path / "pretrain.pt"
    Pretraining(make_problem, replace(SMALL, stop_after=1), 3).run(NullProgress(), path)
    with pytest.raises(InputFileError, match=r"found another's \(episodes, learning rate, seed\): use the same"):
        Pretraining(make_problem, replace(SMALL, episodes=5, learning_rate=0.1), 4).run(NullProgress(), path)
    search("random", Synthetic(synthetic.quad()), AgentSettings(budget=4), 0, checkpoint=tmp_path / "search.pt")
    with pytest.raises(
        InputFileError, match=r"found another's \(not of a pretraining, or of another version\): use the same"
    ):
        Pretraining(make_problem, SMALL, 3).run(NullProgress(), tmp_path / "search.pt")
    with pytest.raises(
        InputFileError, match=r"expected a pretraining checkpoint, found .*: use another --checkpoint, or"
    ):
        Pretraining(make_problem, SMALL, 3).run(NullProgress(), policy_path)


def test_a_policy_that_sees_prospects_serves_proposals_and_searches(tmp_path: Path) -> None:
    """Pretraining gives one; what it proposes depends on them, in `propose` and in a search."""
    from eenn_agents.search import search

    trained = Pretraining(make_problem, SMALL, 3).run(NullProgress(), None)
    assert trained.info.layout.prospects
    save_policy(tmp_path / "policy.npz", trained)
    policy = load_policy(tmp_path / "policy.npz")
    evaluator = make_problem(8)
    told = proposals(evaluator, policy, 8, 0)
    settings = AgentSettings(budget=16, policy=str(tmp_path / "policy.npz"), policy_share=1.0)
    searched = search("ppo", evaluator, settings, 0).history.genomes
    evaluator.prospects = lambda: np.zeros((4, 5, 3, 2))  # type: ignore[method-assign]
    assert not np.array_equal(told, proposals(evaluator, policy, 8, 0))
    assert not np.array_equal(searched, search("ppo", evaluator, settings, 0).history.genomes)
    assert not layout_for(evaluator.space).prospects


def test_a_search_begun_with_another_kind_of_policy_is_not_resumed(policy_path: Path, tmp_path: Path) -> None:
    """The shipped policy may have changed since: one line, not torch's list of shapes."""
    from eenn_agents.search import search

    def searched(policy: Path, budget: int) -> None:
        settings = AgentSettings(budget=budget, policy="named", policy_share=1.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("eenn_agents.ppo.policy_for", lambda *_: load_policy(policy))
            search("ppo", Synthetic(synthetic.quad()), settings, 0, checkpoint=tmp_path / "search.pt")

    save_policy(tmp_path / "other.npz", Pretraining(make_problem, SMALL, 3).policy())
    searched(policy_path, 16)
    with pytest.raises(InputFileError, match="an earlier shipped policy: start a new run"):
        searched(tmp_path / "other.npz", 16)


def test_a_policy_without_prospects_is_gone_on_from_without(policy_path: Path) -> None:
    """Its network has no place for them; on varied tables, which it could not tell apart, it is refused."""
    begun = Pretraining(make_problem, replace(SMALL, policy=str(policy_path), varied_tables=False), 1)
    assert not begun.layout.prospects
    with pytest.raises(InvalidValueError, match="add --no-varied-tables"):
        Pretraining(make_problem, replace(SMALL, policy=str(policy_path)), 1)


def test_a_backend_that_can_cost_no_machine_is_told() -> None:
    """Pretraining gives up after so many machines in a row, and says why."""

    def refusing(_: int) -> Synthetic:
        raise EennError("no such array")

    with pytest.raises(EennError, match="in a row cannot be costed; of the last one: no such array"):
        Pretraining(refusing, SMALL, 0)


def test_real_pretraining_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On two tables, varied and measured, with estimators forgotten in between: the same weights as without a pause."""
    from eenn_agents import checkpoint as files

    monkeypatch.setattr(pretrain_module, "KEPT", 1)
    bases = [measured_problem.tables(make_backbone("resnet8", (1, side, side)), samples=200) for side in (16, 32)]
    settings = replace(SMALL, updates=4, window=3, lessons=8, thresholds="global")

    def begun(*fingerprints: str) -> Pretraining:
        return Pretraining(RandomProblems(bases, settings, 3), settings, 3, fingerprints or ("a", "b"))

    whole = begun().run(NullProgress(), None)
    first = begun()
    for _ in range(2):
        first.step()
    files.save(tmp_path / "pretrain.pt", first.state())
    resumed = begun().run(NullProgress(), tmp_path / "pretrain.pt")
    for name, weight in whole.weights.items():
        assert np.array_equal(weight, resumed.weights[name]), name
    with pytest.raises(InputFileError, match="found another's"):
        begun("a", "c").run(NullProgress(), tmp_path / "pretrain.pt")


def test_problems_stand_on_varied_and_on_measured_tables() -> None:
    """A few problems share tables; most are varied, some measured, of each base; without variation none is."""
    small, large = (measured_problem.tables(make_backbone("resnet8", (1, side, side))) for side in (16, 32))
    named = [replace(small, dataset="small"), replace(large, dataset="large")]
    problems = RandomProblems(named, SMALL, 0)
    names = [problems(number).estimator.tables.dataset for number in range(0, 40, 4)]
    assert {"small", "large", "small, varied", "large, varied"} >= set(names)
    assert len(set(names)) >= 3
    varied_ones = [4 * group for group, name in enumerate(names) if name.endswith("varied")]
    assert problems(varied_ones[0]).estimator is problems(varied_ones[0] + 3).estimator
    assert problems(varied_ones[0]).estimator is not problems(varied_ones[1]).estimator
    plain = RandomProblems(named[:1], replace(SMALL, varied_tables=False), 0)
    assert {plain(number).estimator.tables.dataset for number in range(0, 20, 4)} == {"small"}


def test_further_tables_must_offer_the_same_choices(tmp_path: Path) -> None:
    """Another backbone is refused in one line that names the file; images of another size are welcome."""
    first = measured_problem.tables(make_backbone("resnet8", (1, 16, 16)))
    measured_problem.tables(make_backbone("resnet8", (3, 32, 32))).save(tmp_path / "larger.npz")
    measured_problem.tables(make_backbone("resnet20", (1, 16, 16)), paths=4).save(tmp_path / "deeper.npz")
    settings = replace(SMALL, updates=1, accelerators=1, lessons=0, more_tables=(str(tmp_path / "larger.npz"),))
    told = load_policy(pretrain(first, tmp_path / "policy.npz", settings)).info.trained
    larger = AccuracyTables.load(tmp_path / "larger.npz")
    assert (told["more_tables"], told["tables"]) == (["larger.npz"], [first.fingerprint, larger.fingerprint])
    few = larger.row_branch != 2
    columns = {
        name: getattr(larger, name)[few]
        for name in ("confidence", "correct", "row_location", "row_branch", "row_bits", "temperatures")
    }
    replace(larger, **columns).save(tmp_path / "larger.npz")
    with pytest.raises(
        InputFileError, match=r"larger\.npz: expected every branch after every block, found no 'conv' after block 0"
    ):
        pretrain(first, tmp_path / "other.npz", settings)
    with pytest.raises(
        InputFileError, match=r"deeper\.npz: expected tables of resnet8 of 4 blocks.*found resnet20 of 10"
    ):
        pretrain(first, tmp_path / "other.npz", replace(settings, more_tables=(str(tmp_path / "deeper.npz"),)))


def test_a_policy_and_its_checkpoint_are_two_files(tmp_path: Path) -> None:
    """Two names of one file are refused too, before anything is trained; and a folder is no file."""
    tables = measured_problem.tables(make_backbone("resnet8", (1, 16, 16)))
    one, other = tmp_path / "one.npz", tmp_path / "other.npz"
    one.write_bytes(b"mine")
    other.symlink_to(one)
    for checkpoint in (one, other, tmp_path / "x" / ".." / "one.npz"):
        with pytest.raises(InvalidValueError, match="expected another file than --out's, found the same"):
            pretrain(tables, one, SMALL, checkpoint=checkpoint)
    assert one.read_bytes() == b"mine"
    for out, checkpoint in ((tmp_path, one), (tmp_path / "new.npz", tmp_path)):
        with pytest.raises(InvalidValueError, match="expected a file, found a folder: add a file's name"):
            pretrain(tables, out, SMALL, checkpoint=checkpoint)


def test_a_checkpoint_that_somebody_works_with_is_refused(tmp_path: Path) -> None:
    """Two would save over each other; the second one is told before its first update, and leaves nothing."""
    tables = measured_problem.tables(make_backbone("resnet8", (1, 16, 16)))
    once, checkpoint = replace(SMALL, stop_after=1), tmp_path / "pretrain.pt"
    with (
        held(checkpoint, "checkpoint", "--checkpoint"),
        pytest.raises(InvalidValueError, match=r"pretrain\.pt is in use by another process: .* another --checkpoint"),
    ):
        pretrain(tables, tmp_path / "two.npz", once, checkpoint=checkpoint)
    assert not list(tmp_path.iterdir())
    pretrain(tables, tmp_path / "one.npz", once, checkpoint=checkpoint)
    assert {path.name for path in tmp_path.iterdir()} == {"one.npz", "pretrain.pt"}


@pytest.mark.parametrize(
    "changes",
    [
        *({name: bad} for name in ("clip", "learning_rate") for bad in (-1.0, 0.0, np.nan, np.inf)),
        *({name: bad} for name in ("entropy", "imitation") for bad in (-1.0, np.nan, np.inf)),
        *({name: 0} for name in ("updates", "accelerators", "window", "lifetime", "epochs", "max_exits", "stop_after")),
        {"episodes": 1}, {"lessons": -1}, {"thresholds": "none"},
    ],
    ids=str,
)  # fmt: skip
def test_pretraining_refuses_nonsense(changes: dict[str, Any]) -> None:
    """Every number has its range, told in one line that names the setting."""
    (name,) = changes
    with pytest.raises(InvalidValueError, match=f"^{name.replace('_', '.')} must be"):
        PretrainSettings(**changes)


def test_pretraining_stopped_early_keeps_the_schedule_of_all_updates() -> None:
    """`stop_after` ends where a run of all updates stood then: the same weights, and the policy says how many."""
    whole = Pretraining(make_problem, SMALL, 3)
    for _ in range(2):
        whole.step()
    stopped = Pretraining(make_problem, replace(SMALL, stop_after=2), 3).run(NullProgress(), None)
    for name, weight in whole.policy().weights.items():
        assert np.array_equal(weight, stopped.weights[name]), name
    assert stopped.info.trained["done"] == 2


def test_borrowed_tables_answer_as_the_other_backbone_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Borrowed from itself, a backbone's tables are its own; a deeper one's exits answer as those at like depth."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    borrowed = importlib.import_module("borrowed_tables").borrowed
    source = measured_problem.tables(make_backbone("resnet8", (1, 16, 16)), samples=101)
    own = borrowed(source, "resnet8")
    order = {(*key, *bits): row for row, (key, bits) in enumerate(_keys(source))}
    assert len(own.correct) == len(source.correct)
    for row, (key, bits) in enumerate(_keys(own)):
        assert np.array_equal(own.correct[row], source.correct[order[*key, *bits]])
        assert np.array_equal(own.confidence[row], source.confidence[order[*key, *bits]])
    deeper = borrowed(source, "mobilenetv1_025")
    wanted = {0: 0, 3: 1, 11: 2, 12: 3}
    for row, (key, bits) in enumerate(_keys(deeper)):
        if key[0] in wanted and len(set(bits) - {0}) == 1:
            met = (bits[0],) * (wanted[key[0]] + 1) + (0,) * (3 - wanted[key[0]])
            assert np.array_equal(deeper.correct[row], source.correct[order[wanted[key[0]], key[1], *met]])


def _keys(tables: AccuracyTables) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
    places = zip(tables.row_location.tolist(), tables.row_branch.tolist(), strict=True)
    return list(zip(places, map(tuple, tables.row_bits.tolist()), strict=True))


@pytest.mark.parametrize("name", BACKBONES)
def test_every_shipped_backbone_has_a_policy(name: str) -> None:
    """It is small, and `train` begins with it on the default accelerator without being told to."""
    path, backbone = POLICIES / f"{name}.npz", make_backbone(name, (1, 16, 16), 10)
    space = SearchSpace(backbone, load_accelerator("quad_edge_tpu"))
    found = policy_for(None, layout_for(space), backbone.name)
    assert found is not None
    assert found.info.backbone == name
    assert path.stat().st_size < 1_000_000


def test_the_shipped_policy_proposes_feasible_networks() -> None:
    """With no training at all, some of 16 proposals for the default problem hold every constraint and pay off."""
    from eenn_envs.default import default_evaluator
    from eenn_rl.propose import propose

    found = propose(default_evaluator(), None, 16, 0)
    assert len(found) == 16
    assert found[0].feasible
    assert found[0].elp_reduction > 0.3


def test_what_a_proposal_misses_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """`propose` says which bound, row by row; for a program it lists violations and thresholds."""
    words = ["propose", "-n", "6", "--deadline", "0.000000001"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["proposals"]
    assert all("worst-case latency" in [each["subject"] for each in item["violations"]] for item in found)
    assert main(words) == 0
    shown = capsys.readouterr().out
    for rank, item in enumerate(found, start=1):
        assert item["feasible"] == (not item["violations"])
        assert len(item["thresholds"]) == len(item["architecture"]["exits"])
        for violation in item["violations"]:
            assert f"#{rank} misses a bound: {violation['subject']}: {violation['demand']:.6g}" in shown
    assert main(["propose", "-n", "1"]) == 0
    assert "misses" not in capsys.readouterr().out


def test_proposals_are_distinct_legal_and_seeded(policy_path: Path) -> None:
    """As many as asked for, each once, legal, and the same for the same seed."""
    evaluator, policy = Synthetic(synthetic.quad()), load_policy(policy_path)
    first, again, other = (proposals(evaluator, policy, 16, seed) for seed in (0, 0, 1))
    assert len(np.unique(first.reshape(16, -1), axis=0)) == 16
    assert evaluator.space.legal(first).all()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_search_starts_from_its_policy(policy_path: Path) -> None:
    """The policy that the settings name decides what is proposed first."""
    from eenn_agents.search import search

    evaluator = Synthetic(synthetic.quad())
    settings = AgentSettings(budget=32, policy=str(policy_path), policy_share=1.0)
    named = search("ppo", evaluator, settings, 7).history.genomes
    raw = search("ppo", evaluator, replace(settings, policy="untrained"), 7).history.genomes
    assert not np.array_equal(named, raw)


def test_random_machines_are_reproducible_and_usable() -> None:
    """Random accelerators depend on their generator alone; each has room in the standard layout and knows 8 bits."""
    pool = core_pool()
    for seed in range(60):
        first, again = (random_accelerator(np.random.default_rng(seed), pool) for _ in range(2))
        assert first == again
        assert len(first.allocations) <= 12
        assert any(8 in first.allocation_bits(index) for index in range(len(first.allocations)))
        objective = random_objective(np.random.default_rng(seed), Objective())
        assert 0.002 <= objective.accuracy_tolerance <= 0.05


def test_pretraining_settings_refuse_nonsense() -> None:
    """A group of one has no mean to be compared with."""
    with pytest.raises(InvalidValueError, match="at least 2"):
        PretrainSettings(episodes=1)
    with pytest.raises(InvalidValueError, match="stop after"):
        PretrainSettings(stop_after=0)
    with pytest.raises(InvalidValueError, match="per_exit, global"):
        PretrainSettings(thresholds="none")  # type: ignore[arg-type]
