"""Full training: the same from the same seed, in pieces, in one process or two."""

import multiprocessing
import resource
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.errors import FULL_DISK, EennError, InvalidValueError
from eenn_rl.networks import graphs, loop, training
from eenn_rl.networks.settings import TrainingSettings
from eenn_rl.networks.training import train_full, train_plain
from eenn_rl.networks.verification import train_and_measure
from eenn_rl.progress import NullProgress
from network_samples import FULL, MIXED, StopAt, architecture, digits, small_backbone, supernet

PLAIN = replace(FULL, plain_share=0.99)
"""One step alone is the architecture's."""


@pytest.fixture
def _one_step_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phase of a single step, such as the architecture's with `PLAIN`, has a rate of zero."""
    monkeypatch.setattr(
        training, "one_cycle", lambda step, total, peak: (total > 1) * loop.one_cycle(step, total, peak)
    )


@pytest.mark.parametrize("exits", [MIXED, ((2, "classifier", 8),)])
def test_interrupted_training_ends_where_the_uninterrupted_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exits: tuple[tuple[int, str, int], ...]
) -> None:
    """Stopped in the plain network, then after exits and bits joined, and continued: the same to the last bit."""
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    drawn = architecture(*exits)
    whole = train_full(drawn, digits(), FULL, 5).network.state_dict()
    for step, phase in ((3, "plain network"), (2, "full training")):
        stop = StopAt(step)
        with pytest.raises(KeyboardInterrupt):
            train_full(drawn, digits(), FULL, 5, stop, tmp_path / "checkpoint")
        assert stop.name == phase
    resumed = train_full(drawn, digits(), FULL, 5, None, tmp_path / "checkpoint").network.state_dict()
    for name, value in resumed.items():
        assert torch.equal(value, whole[name]), name


def test_a_checkpoint_of_another_training_is_not_continued(tmp_path: Path) -> None:
    """A checkpoint of another seed or architecture is left aside."""
    checkpoint = tmp_path / "checkpoint"
    train_full(architecture(*MIXED), digits(), FULL, 5, None, checkpoint)
    other = train_full(architecture(*MIXED), digits(), FULL, 6, None, checkpoint).network.state_dict()
    fresh = train_full(architecture(*MIXED), digits(), FULL, 6).network.state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in other.items())


def test_training_learns() -> None:
    """After a few epochs on the digits every exit is far better than chance, at 2 bits too."""
    settings = replace(FULL, epochs=25, batch_size=16)
    trained = train_full(architecture((0, "dsconv", 2), (2, "classifier", 8)), digits(), settings, 0)
    _, prediction = trained.outputs(digits(), digits().validation_x)
    accuracy = (prediction == digits().validation_y.numpy()).mean(1)
    assert accuracy.min() > 0.25


def test_patience_keeps_the_best_check() -> None:
    """With patience, training ends early when validation stops gaining, and the best network is kept."""
    settings = replace(FULL, epochs=30, patience=1, learning_rate=0.3)
    trained = train_full(architecture((2, "classifier", 8)), digits(), settings, 0)
    full = train_full(architecture((2, "classifier", 8)), digits(), replace(settings, patience=0), 0)
    batches = trained.network.state_dict()["blocks.0.steps.0.variants.8.norm.num_batches_tracked"]
    assert batches <= full.network.state_dict()["blocks.0.steps.0.variants.8.norm.num_batches_tracked"]


def test_processes_change_nothing(tmp_path: Path) -> None:
    """One process and two give the same outcomes; the second call trains nothing; cores share a training."""
    wanted = [architecture(*MIXED), architecture((1, "linear", 4), (2, "classifier", 4))]
    moved = Architecture(wanted[0].backbone, tuple(replace(e, core=1) for e in wanted[0].exits))
    settings = replace(FULL, epochs=1)
    two = train_and_measure([*wanted, moved], digits(), settings, 1, checkpoint_dir=tmp_path / "two", static_bits=(8,))
    one = train_and_measure(wanted, digits(), settings, 1, checkpoint_dir=tmp_path / "one", static_bits=(8,), workers=1)
    assert [network.is_static for network in two] == [True, False, False, False]
    assert two[3].architecture == moved
    assert two[3].weights == two[1].weights
    for here, there in zip(one, two, strict=False):
        for split in ("validation", "test"):
            assert (getattr(here, split).levels == getattr(there, split).levels).all()
            assert (getattr(here, split).correct == getattr(there, split).correct).all()
    times = [file.stat().st_mtime_ns for file in sorted((tmp_path / "two").glob("*.npz"))]
    again = train_and_measure(wanted, digits(), settings, 1, checkpoint_dir=tmp_path / "two", static_bits=(8,))
    assert [file.stat().st_mtime_ns for file in sorted((tmp_path / "two").glob("*.npz"))] == times
    assert (again[1].test.levels == two[1].test.levels).all()
    assert sorted(file.suffix for file in (tmp_path / "two").iterdir()) == [".npz"] * 3 + [".plain"] + [".pt"] * 3


@pytest.mark.usefixtures("_one_step_changes_nothing")
def test_architectures_start_from_one_plain_network(tmp_path: Path) -> None:
    """Before steps of their own, two architectures hold the plain network's weights at all their bits."""
    plain = train_plain(small_backbone(), digits(), PLAIN, 0, None, tmp_path).state_dict()
    before = [file.stat().st_mtime_ns for file in tmp_path.glob("*.plain")]
    for exits in (MIXED, ((2, "classifier", 4),)):
        drawn = architecture(*exits)
        full = train_full(drawn, digits(), PLAIN, 0, None, tmp_path / "checkpoint").network
        for bits in full.bits:
            key = f"blocks.0.steps.0.variants.{bits}.weight"
            if key in full.state_dict():
                assert torch.equal(full.state_dict()[key], plain["blocks.0.steps.0.variants.8.weight"])
    assert [file.stat().st_mtime_ns for file in tmp_path.glob("*.plain")] == before


@pytest.mark.usefixtures("_one_step_changes_nothing")
def test_architectures_begin_with_the_shared_weights(tmp_path: Path) -> None:
    """Before steps of their own, they hold the shared weights of their layers; no plain network is trained."""
    held = supernet().network.state_dict()
    for exits in (MIXED, ((2, "classifier", 4),)):
        full = train_full(architecture(*exits), digits(), PLAIN, 0, None, tmp_path / "checkpoint", supernet()).network
        weights = [key for key in full.state_dict() if key.endswith(".weight")]
        assert weights
        assert all(torch.equal(full.state_dict()[key], held[key]) for key in weights)
    assert not list(tmp_path.glob("*.plain"))


def test_shared_weights_of_something_else_are_refused() -> None:
    """Of another data set, or without a branch of the architecture: one line; `plain` does not look at them."""
    drawn = architecture(*MIXED)
    with pytest.raises(InvalidValueError, match="data set of the shared weights must be 'digits'"):
        train_full(drawn, digits(), PLAIN, shared=replace(supernet(), dataset="cifar10"))
    with pytest.raises(InvalidValueError, match="of this backbone, with its branches and bits"):
        train_full(architecture((0, "conv", 8), (2, "classifier", 8)), digits(), PLAIN, shared=supernet())
    how = replace(PLAIN, begin="plain")
    with_them = train_full(drawn, digits(), how, shared=supernet()).network.state_dict()
    without = train_full(drawn, digits(), how).network.state_dict()
    assert all(torch.equal(with_them[key], value) for key, value in without.items())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux does")
def test_processes_begin_with_the_shared_weights_too(tmp_path: Path) -> None:
    """The same networks from one process and two; others than those that begin plain, kept beside them."""
    wanted, settings = [architecture(*MIXED)], replace(FULL, epochs=1)

    def outcomes(folder: str, how: TrainingSettings, workers: int) -> list[tuple[str, bytes]]:
        networks = train_and_measure(
            wanted, digits(), how, 1, checkpoint_dir=tmp_path / folder, static_bits=(8, 4), workers=workers,
            shared=supernet(),
        )  # fmt: skip
        return [(network.weights.name, network.test.levels.tobytes()) for network in networks]

    one = outcomes("one", settings, 1)
    # Fewer files than the shared weights have tensors may be open.
    limit, spare = resource.getrlimit(resource.RLIMIT_NOFILE), 80
    assert len(supernet().network.state_dict()) > spare
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + spare, limit[1]))
    try:
        two = outcomes("two", settings, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert one == two
    assert not list((tmp_path / "one").glob("*.plain"))
    plain = outcomes("one", replace(settings, begin="plain"), 1)
    assert not {name for name, _ in one} & {name for name, _ in plain}
    assert outcomes("one", settings, 1) == one
    assert len(list((tmp_path / "one").glob("*.npz"))) == 6


def test_bfloat16_trains_float32_weights() -> None:
    """Mixed precision learns too, depthwise branches included, and leaves float32 weights of other values."""
    settings = replace(FULL, epochs=25, batch_size=16, precision="bfloat16")
    drawn = architecture((0, "dsconv", 4), (2, "classifier", 8))
    trained = train_full(drawn, digits(), settings, 0)
    _, prediction = trained.outputs(digits(), digits().validation_x)
    assert (prediction == digits().validation_y.numpy()).mean(1).min() > 0.25
    other = train_full(drawn, digits(), replace(settings, precision="float32"), 0)
    weights = trained.network.state_dict()["blocks.0.steps.0.variants.8.weight"]
    assert weights.dtype == torch.float32
    assert not torch.equal(weights, other.network.state_dict()["blocks.0.steps.0.variants.8.weight"])
    with pytest.raises(InvalidValueError, match=r"precision.*float16"):
        replace(settings, precision="float16")


def test_steps_that_come_again_are_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU a kind of step is captured when it is met again, up to a number of kinds; every step is done once."""

    class Graph:
        def __init__(self, step: graphs.Descend, images: torch.Tensor, labels: torch.Tensor) -> None:
            self.step, self.held, self.kind = step, (images.clone(), labels.clone()), kinds[int(images)]

        def replay(self) -> None:
            self.step(*self.held)

    captured: list[Graph] = []

    def capture(_: graphs.StepReplayer, step: graphs.Descend, images: torch.Tensor, labels: torch.Tensor) -> tuple:
        captured.append(Graph(step, images, labels))
        return (captured[-1], *captured[-1].held)

    monkeypatch.setattr(graphs.StepReplayer, "_capture", capture)
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 2)
    entered: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext(entered.append(device)))
    replayer = graphs.StepReplayer(torch.device("cuda:1"))
    done: list[tuple[str, float]] = []
    kinds = "aaa" + "ebcbcdabcdde"
    for number, kind in enumerate(kinds):
        value = torch.full((1,), float(number))
        replayer.run(kind, lambda x, y, kind=kind: done.append((kind, float(x + y))), value, value, eager=False)
    assert done == [(kind, 2.0 * number) for number, kind in enumerate(kinds)]
    assert "".join(graph.kind for graph in captured) == "bc"  # e was met once, d too late
    assert set(entered) == {torch.device("cuda:1")}


def test_steps_go_on_in_the_way_of_this_device() -> None:
    """An optimiser's state saved on another device brings no other way of stepping along."""
    weight = torch.nn.Parameter(torch.ones(2))

    def made(**way: bool) -> torch.optim.SGD:
        return torch.optim.SGD([weight], lr=0.1, momentum=0.9, nesterov=True, **way)

    fused, plain = made(fused=True), made()
    loop.load_optimiser(fused, plain.state_dict())
    loop.load_optimiser(plain, fused.state_dict())
    assert (fused.param_groups[0]["fused"], plain.param_groups[0]["fused"]) == (True, None)


def test_an_architecture_is_always_trained() -> None:
    """However large the plain network's share, a step is left in which exits join."""
    settings = replace(FULL, epochs=1, plain_share=0.99)
    trained = train_full(architecture(*MIXED), digits(), settings, 0).network.state_dict()
    assert trained["blocks.0.steps.0.variants.8.output.step"] != 1


def test_a_failing_training_is_told(tmp_path: Path) -> None:
    """What goes wrong in a process reaches the caller, with its traceback."""
    broken = replace(digits(), train_y=torch.full_like(digits().train_y, 10_000))
    wanted = [Architecture(architecture(*MIXED).backbone, (Exit(2, "classifier", 8, 0, 0),)), architecture(*MIXED)]
    with pytest.raises(RuntimeError, match=r"(?s)a training process failed.*Traceback"):
        train_and_measure(wanted, broken, replace(FULL, plain_share=0), 0, checkpoint_dir=tmp_path, static_bits=(4,))


class KillOne(NullProgress):
    """A process dies as for want of memory, once training has begun."""

    def advance(self, done: float, **facts: float | str) -> None:  # noqa: ARG002 - the protocol's signature
        multiprocessing.active_children()[0].kill()


def test_a_killed_process_is_told(tmp_path: Path) -> None:
    """One line says what happened and how to go on; going on ends where the uninterrupted training does."""
    settings = replace(FULL, epochs=1, plain_share=0)
    wanted = [architecture(*MIXED)]
    with pytest.raises(EennError, match=r"found one killed by signal 9 .*continue the run with --resume"):
        train_and_measure(wanted, digits(), settings, 0, KillOne(), checkpoint_dir=tmp_path, static_bits=(4,))
    found = train_and_measure(wanted, digits(), settings, 0, checkpoint_dir=tmp_path, static_bits=(4,), workers=1)
    fresh = train_and_measure(wanted, digits(), settings, 0, checkpoint_dir=tmp_path / "fresh", static_bits=(4,))
    assert all((a.test.levels == b.test.levels).all() for a, b in zip(found, fresh, strict=True))


def test_a_full_disk_in_a_process_is_told(tmp_path: Path) -> None:
    """It reaches the caller as the error that the command line turns into one line (here: a file size limit)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with pytest.raises(OSError, match=str(tmp_path)) as caught:
            train_and_measure(
                [architecture(*MIXED)], digits(), replace(FULL, epochs=1, plain_share=0), 0, checkpoint_dir=tmp_path,
                static_bits=(4,),
            )  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno in FULL_DISK


def test_outcomes_are_of_the_whole_split(tmp_path: Path) -> None:
    """Outcomes hold every image of a split, every exit, and the groups of the data set."""
    (network,) = train_and_measure(
        [architecture(*MIXED)], digits(), replace(FULL, epochs=1), 0, checkpoint_dir=tmp_path, static_bits=()
    )
    assert network.test.levels.shape == network.test.correct.shape == (3, 120)
    assert np.array_equal(network.test.groups, digits().test_groups.numpy())
    assert len(network.temperatures) == 3
