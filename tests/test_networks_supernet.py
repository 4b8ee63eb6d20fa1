"""Shared weights: every architecture is in them, and they can be trained in pieces."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from eenn_rl.config import RunConfig
from eenn_rl.errors import InputFileError
from eenn_rl.networks import loop
from eenn_rl.networks import supernet as supernet_module
from eenn_rl.networks.builder import Network, all_heads, heads_of, path_of
from eenn_rl.networks.inherit import copied
from eenn_rl.networks.loop import threads
from eenn_rl.networks.losses import training_loss
from eenn_rl.networks.settings import SupernetSettings
from eenn_rl.networks.supernet import _SupernetTraining, draw_path, load_supernet, train_supernet
from eenn_rl.progress import NullProgress
from eenn_rl.run import _measured_tables
from eenn_rl.run_folder import RunFolder
from eenn_rl.zoo import make_backbone
from network_samples import BRANCHES, MIXED, QUICK, StopAt, architecture, digits, small_backbone, supernet


def test_an_architecture_alone_does_what_it_does_within_the_shared_weights() -> None:
    """A network of one architecture with copied weights gives exactly the logits of its path in the shared network."""
    drawn = architecture(*MIXED)
    images = digits().normalise(digits().validation_x[:20])
    alone, shared = copied(supernet(), drawn), supernet().network.eval()
    with torch.no_grad():
        mine = alone(images, path_of(drawn), heads_of(drawn))
        theirs = shared(images, path_of(drawn), heads_of(drawn))
    for one, other in zip(mine, theirs, strict=True):
        assert torch.equal(one, other)


def test_interrupted_training_ends_where_the_uninterrupted_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in either phase and continued, the shared weights are the same to the last bit."""
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    for step in (2, 5):
        with pytest.raises(KeyboardInterrupt):
            train_supernet(
                small_backbone(), digits(), QUICK, 3, StopAt(step), tmp_path, branches=BRANCHES
            )  # fmt: skip
    resumed = train_supernet(small_backbone(), digits(), QUICK, 3, None, tmp_path, branches=BRANCHES)
    reference = supernet().network.state_dict()
    fresh = train_supernet(small_backbone(), digits(), QUICK, 3, branches=BRANCHES).network.state_dict()
    assert fresh.keys() == reference.keys()
    for name, value in resumed.network.state_dict().items():
        assert torch.equal(value, fresh[name]), name


def test_every_process_orders_weights_alike() -> None:
    """The order of weights, from which random numbers are dealt, does not depend on the process (hash seeds)."""
    code = (
        "from eenn_rl.networks.builder import Network, all_heads; from eenn_rl.zoo import make_backbone;"
        "b = make_backbone('resnet8'); n = Network(b, all_heads(b, ('linear', 'mlp', 'conv')), (8,));"
        "print([name for name, _ in n.named_parameters()])"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(orders) == 1


def test_another_seed_gives_other_weights() -> None:
    """The seed decides the weights."""
    other = train_supernet(small_backbone(), digits(), QUICK, 4, branches=BRANCHES).network
    name = "blocks.0.steps.0.variants.8.weight"
    assert not torch.equal(other.state_dict()[name], supernet().network.state_dict()[name])


def test_paths_have_at_most_four_stages() -> None:
    """Drawn paths change bits at most three times, and every width and every length of stage occurs."""
    generator = torch.Generator().manual_seed(0)
    paths = {draw_path(6, (2, 4, 8), generator) for _ in range(2000)}
    assert all(sum(a != b for a, b in itertools.pairwise(path)) <= 3 for path in paths)
    assert {(2,) * 6, (4,) * 6, (8,) * 6} <= paths
    assert len(paths) > 200
    assert draw_path(1, (8,), generator) == (8,)


def test_saved_weights_come_back(tmp_path: Path) -> None:
    """What `save` wrote loads as it was; weights of another training, and files of another kind, are refused."""
    file = tmp_path / "supernet.pt"
    supernet().save(file)
    same = load_supernet(file, small_backbone(), "digits", QUICK, 3, branches=BRANCHES)
    for name, value in same.network.state_dict().items():
        assert torch.equal(value, supernet().network.state_dict()[name])
    with pytest.raises(InputFileError, match="expected shared weights of this configuration"):
        load_supernet(file, small_backbone(), "digits", QUICK, 4, branches=BRANCHES)
    file.write_text("not weights")
    with pytest.raises(InputFileError, match="expected weights saved by eenn-rl"):
        load_supernet(file, small_backbone(), "digits", QUICK, 3, branches=BRANCHES)
    with pytest.raises(InputFileError, match="found no file"):
        load_supernet(tmp_path / "none.pt", small_backbone(), "digits", QUICK, 3, branches=BRANCHES)


def test_logits_of_many_inputs_learn_at_a_lower_rate() -> None:
    """64 inputs by 256 in the branch on the first map, and nowhere without logits; every parameter in one group."""
    backbone = small_backbone()
    network = Network(backbone, all_heads(backbone, BRANCHES), (4, 8))
    optimiser = loop.make_optimiser(network, 0.1, 1e-4)
    loop.set_learning_rate(optimiser, 0.2)
    rate_of = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert len(rate_of) == sum(len(group["params"]) for group in optimiser.param_groups)
    assert rate_of.keys() == {id(p) for p in network.parameters()}
    slowed = set()
    for layer in network.quantised_layers():
        inputs = layer.layer.in_channels if hasattr(layer.variant(8), "bias") else 0
        for parameter in layer.parameters():
            assert rate_of[id(parameter)] == pytest.approx(0.2 * min(1.0, 64 / inputs) if inputs else 0.2)
        slowed |= {inputs} if inputs > 64 else set()
    assert slowed


def test_the_second_phase_may_have_batches_of_its_own_size() -> None:
    """All its images pass once an epoch, in its own batches; the first phase is as it was."""
    settings = replace(QUICK, batch_size=32, fine_batch_size=16)
    job = _SupernetTraining(small_backbone(), digits(), settings, 0, BRANCHES, (4, 8))
    assert (job.switch_at, job.total) == (96 // 32, 96 // 32 + QUICK.epochs * 96 // 16)
    assert len(job._chosen(0)) == 32
    epoch = torch.cat([job._chosen(job.switch_at + step) for step in range(6)])
    assert sorted(epoch.tolist()) == list(range(96))


def test_all_early_exits_weigh_the_same_together() -> None:
    """However many blocks there are; up to three early ones a third each, as many as a small network has."""
    settings = SupernetSettings(early_exits_weight=1.5)
    assert [settings.exit_weight_of_a_block(blocks) for blocks in (1, 2, 4, 10)] == [0.5, 0.5, 0.5, 1.5 / 9]


def test_a_step_weighs_early_exits_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one block's exits weigh in the loss follows from the number of blocks."""
    weights = []

    def spy(*arguments: Any) -> torch.Tensor:
        weights.append(arguments[5])
        return training_loss(*arguments)

    monkeypatch.setattr(supernet_module, "training_loss", spy)
    settings = replace(QUICK, static_epochs=0, early_exits_weight=1.2)
    for backbone in (small_backbone(), make_backbone("resnet20", digits().input_shape, 10)):
        _SupernetTraining(backbone, digits(), settings, 0, ("linear",), (8,)).step(0)
    assert weights == pytest.approx([1.2 / 3, 1.2 / 9])


def test_shared_weights_train_in_the_threads_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread by default, however many torch would take, so that results do not depend on a machine's cores."""
    seen = []

    def train_supernet(*_: object, **__: object) -> None:
        seen.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(supernet_module, "train_supernet", train_supernet)
    for settings in (RunConfig(), RunConfig(threads=3)):
        with threads(2):
            with pytest.raises(KeyboardInterrupt):
                _measured_tables(RunFolder(tmp_path), settings, digits(), NullProgress())
            assert torch.get_num_threads() == 2
    assert seen == [1, 3]
