"""Accuracy tables that the user gives, and the data that they were measured on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eenn_rl.cli import main
from eenn_rl.config import RunConfig
from eenn_rl.errors import EennError
from eenn_rl.problem import make_evaluator
from eenn_rl.tables import AccuracyTables
from eenn_rl.trajectory import open_log
from eenn_rl.zoo import make_backbone
from logged_problem import random_tables
from test_networks_data import make_folder

Shape = tuple[int, int, int]
SEARCH = ("--agent", "random", "--budget", "20")


def tables_of(path: Path, dataset: str, shape: Shape = (1, 16, 16), classes: int = 10) -> str:
    replace(random_tables(make_backbone("resnet8", shape, classes)), dataset=dataset).save(path)
    return str(path)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that the command line ends with."""
    assert main(list(words)) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("eenn-rl: error: "))
    return line


VERBS = (("train", *SEARCH), ("propose",), ("compare", "--out", "new"), ("pretrain", "--out", "new.npz"))


@pytest.mark.parametrize("words", VERBS)
def test_tables_of_other_data_are_refused(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the name of the data set, and for a folder of that name by its images; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    photos = make_folder(tmp_path / "photos", size=16)
    tables = tables_of(tmp_path / "tables.npz", "digits")
    before = sorted(tmp_path.iterdir())
    line = refused(capsys, *words, "--tables", tables, "--dataset", str(photos))
    assert "expected tables of data set 'photos', found those of 'digits'" in line
    assert "found those of 'digits'" in refused(capsys, *words, "--tables", tables, "--dataset", "cifar10")
    namesake = tables_of(tmp_path / "tables.npz", "photos")
    line = refused(capsys, *words, "--tables", namesake, "--dataset", str(photos))
    assert "expected tables of images of 3x16x16 in 2 classes" in line
    assert "found those of images of 1x16x16 in 10 classes" in line
    assert sorted(tmp_path.iterdir()) == before


def test_an_evaluator_is_made_of_tables_of_its_own_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Python as on the command line; who names no data set takes that of the tables."""
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "photos", size=16)
    tables = AccuracyTables.load(tables_of(tmp_path / "tables.npz", "digits"))
    namesake = replace(tables, dataset="photos")
    refusals = [
        (RunConfig(backbone="resnet20"), tables, "expected tables of backbone 'resnet20', found those of 'resnet8'"),
        (RunConfig(dataset="cifar10"), tables, "expected tables of data set 'cifar10', found those of 'digits'"),
        (RunConfig(dataset="photos"), namesake, "expected tables of images of 3x16x16 in 2 classes"),
        (RunConfig(confidence_rule="margin"), tables, "expected max_softmax, by which the confidences in the accuracy"),
    ]
    for config, given, words in refusals:
        with pytest.raises(EennError, match=words):
            make_evaluator(config, given)
    assert make_evaluator(RunConfig(), namesake).estimator.tables is namesake
    line = refused(capsys, "propose", "--backbone", "resnet20", "--tables", "tables.npz")
    assert line.endswith("found those of 'resnet8': give --backbone resnet8, or other tables")


def test_a_backbone_of_ones_own_may_bear_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that returns a whole backbone is known by its module, the tables by the backbone's name."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bare_nets.py").write_text(
        "from dataclasses import replace\nfrom eenn_rl.zoo import make_backbone\n"
        "def small(*form): return replace(make_backbone('resnet8', *form), name='small')\n"
    )
    config = RunConfig(backbone="bare_nets:small")
    tables = random_tables(make_backbone("bare_nets:small", (1, 16, 16)))
    assert make_evaluator(config, tables).space.backbone.name == "small"
    with pytest.raises(EennError, match="expected tables of backbone 'bare_nets:small', found those of 'resnet8'"):
        make_evaluator(config, random_tables(make_backbone("resnet8", (1, 16, 16))))


@pytest.mark.parametrize(("dataset", "shape"), [("cifar10", (3, 32, 32)), ("somewhere else", (1, 16, 16))])
def test_tables_bring_their_own_data_set(
    dataset: str, shape: Shape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `--dataset` it is that of the tables; one that is not here can be searched, and is told about."""
    tables = tables_of(tmp_path / "tables.npz", dataset, shape)
    assert main(["train", *SEARCH, "--tables", tables, "--run", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["dataset"] == dataset
    assert ("which is not here" in capsys.readouterr().err) == (dataset != "cifar10")
    assert main(["propose", "-n", "1", "--tables", tables]) == 0


def test_settings_of_shared_weights_that_nobody_trains_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With tables given they have no effect: one line names those that were typed."""
    words = ("--tables", "shipped", "--supernet-epochs", "3", "--supernet-precision", "bfloat16")
    assert main(["train", *SEARCH, *words, "--run", str(tmp_path / "run")]) == 0
    assert "--supernet-epochs, --supernet-precision: no effect with --tables" in capsys.readouterr().err


def test_settings_of_a_policy_that_nobody_asks_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With an agent that has none, one line names those that were typed."""
    words = ("--tables", "shipped", "--policy-clip", "0.5", "--policy-share", "0.1", "--threads", "2")
    assert main(["train", *SEARCH, *words, "--run", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert "--policy-share, --policy-clip: no effect with --agent random, which has no policy" in said
    assert "--threads: no effect with --tables" in said


def test_tables_that_lack_a_branch_are_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its name and block; without that branch they can be searched."""
    tables = random_tables(make_backbone("resnet8", (1, 16, 16), 10))
    kept = ~((tables.row_location == 1) & (tables.row_branch == tables.branches.index("conv")))
    names = ("confidence", "correct", "row_location", "row_branch", "row_bits", "temperatures")
    path, run = tmp_path / "tables.npz", tmp_path / "run"
    replace(tables, dataset="digits", **{name: getattr(tables, name)[kept] for name in names}).save(path)
    line = refused(capsys, "train", *SEARCH, "--tables", str(path), "--run", str(run))
    assert "found no 'conv' after block 1: measure them again with it, or leave it out with --branches" in line
    assert not run.exists()
    assert main(["train", *SEARCH, "--tables", str(path), "--run", str(run), "--branches", "linear,mlp"]) == 0


def test_a_run_goes_on_with_other_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What changes no result may be another when a run is resumed; what a file of settings asks for may not."""
    run, settings = str(tmp_path / "run"), tmp_path / "settings.json"
    assert main(["train", *SEARCH, "--tables", "shipped", "--run", run]) == 0
    (tmp_path / "run" / "search.json").unlink()
    again = ("train", "--run", run, "--resume")
    assert main([*again, "--workers", "1", "--backend-workers", "2"]) == 0
    settings.write_text('{"search": {"budget": 100}}', encoding="utf-8")
    line = refused(capsys, *again, "--config", str(settings), "--agent", "random")
    assert "begun with other settings (search.budget: 20 -> 100)" in line


def test_a_search_on_given_tables_says_that_nothing_is_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where `--verify` was typed, it has no effect before `eenn-rl verify`."""
    for name, typed in (("silent", ()), ("none", ("--verify", "0")), ("told", ("--verify", "1"))):
        run = tmp_path / name
        assert main(["train", *SEARCH, "--tables", "shipped", "--run", str(run), *typed]) == 0
        said = " ".join(capsys.readouterr().err.split())
        assert (f"a search on given tables verifies nothing; eenn-rl verify {run}" in said) == (name == "told")


@pytest.mark.parametrize("extra", [(), ("--verify", "0")])
def test_the_log_of_a_complete_search_says_so(
    extra: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its attribute `finished` is 1, also where the run was killed before it was set; resuming changes nothing then."""
    run = tmp_path / "run"
    words = ["train", *SEARCH, "--tables", "shipped", "--run", str(run), *extra]

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("eenn_rl.run._mark_finished", killed)
        assert main(words) == 130
    with open_log(run / "trajectories.h5") as log:
        assert not log.finished
    assert main([*words, "--resume"]) == 0
    with open_log(run / "trajectories.h5") as log:
        assert log.finished
        assert len(log) == 20
    content = (run / "trajectories.h5").read_bytes()
    assert main([*words, "--resume"]) == 0
    assert (run / "trajectories.h5").read_bytes() == content
    assert main(["replay", str(run / "trajectories.h5")]) == 0


def test_a_folders_tables_go_with_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are searched with `--dataset FOLDER`; `verify` trains on nothing else, and says what it misses."""
    photos = make_folder(tmp_path / "photos", size=16)
    tables = tables_of(tmp_path / "tables.npz", "photos", (3, 16, 16), 2)
    run = tmp_path / "run"
    assert main(["train", *SEARCH, "--tables", tables, "--dataset", str(photos), "--run", str(run)]) == 0
    assert "which is not here" not in capsys.readouterr().err
    photos.rename(tmp_path / "away")
    assert "expected a folder of images, found none" in refused(capsys, "verify", str(run))
    make_folder(photos, ("cat", "dog", "bird"), size=16)
    line = refused(capsys, "verify", str(run))
    assert "'photos', images of 3x16x16 in 2 classes, found 'photos', images of 3x16x16 in 3 classes" in line
