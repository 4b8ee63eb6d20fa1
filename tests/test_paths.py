"""A run folder works from every directory, and tells strangers nothing of this machine's folders."""

import json
from pathlib import Path

import pytest

from eenn_rl.cli import main
from eenn_rl.config import RunConfig
from eenn_rl.paths import bare, located
from eenn_rl.problem import accelerator_of
from eenn_rl.report import write_report
from eenn_rl.search import AgentSettings
from eenn_rl.serialization import to_json
from eenn_rl.trajectory import open_log
from test_given_tables import refused, tables_of
from test_networks_data import make_folder
from test_unchanged import write_accelerator

SEARCH = ("--agent", "random", "--budget", "60", "--accuracy-tolerance", "1", "--min-exit-rate", "0")
CORE = """
name: tiny
operational_array: {unit_energy: 1, unit_area: 1, dimensions: [D1], sizes: [4]}
colour: green
memories:
  sram: {size: 800000, r_cost: 1, w_cost: 1, area: 0, latency: 1, operands: [I1, I2, O], ports:
    [{name: rw_1, type: read_write, bandwidth_min: 8, bandwidth_max: 64, allocation:
      ['I1, tl', 'I2, tl', 'O, tl', 'O, fh', 'O, fl', 'O, th']}], served_dimensions: [D1]}
  dram: {size: 10000000000, r_cost: 100, w_cost: 100, area: 0, latency: 1, operands: [I1, I2, O], ports:
    [{name: rw_1, type: read_write, bandwidth_min: 8, bandwidth_max: 64, allocation:
      ['I1, fh', 'I1, tl', 'I2, fh', 'I2, tl', 'O, fh', 'O, tl', 'O, fl', 'O, th']}], served_dimensions: [D1]}
"""


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose files were all named from the directory that it began in; the tests are somewhere else."""
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    for folder in (work, elsewhere):
        folder.mkdir()
    monkeypatch.chdir(work)
    write_accelerator(Path("edge.yaml"))
    make_folder(Path("photos"), size=16)
    tables_of(Path("t.npz"), "photos", (3, 16, 16), 2)
    words = ("--accelerator", "edge.yaml", "--dataset", "photos", "--tables", "t.npz", "--training-epochs", "1")
    assert main(["train", *SEARCH, *words, "--run", "run"]) == 0
    monkeypatch.chdir(elsewhere)
    return work / "run"


def test_a_run_goes_on_from_another_directory(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is verified, resumed, exported and reported there; exporting needs no images any more."""
    pytest.importorskip("onnx")
    (begun / "search.json").unlink()
    assert main(["train", "--run", str(begun), "--resume"]) == 0
    assert main(["verify", str(begun), "--top", "1"]) in {0, 1}
    assert main(["export", str(begun), "--to", "onnx", "with"]) == 0
    page = write_report([begun]).read_text(encoding="utf-8")
    assert "No example inputs" not in page
    (begun.parent / "photos").rename(begun.parent / "away")
    assert main(["export", str(begun), "--to", "onnx", "without"]) == 0
    assert Path("with/manifest.json").read_bytes() == Path("without/manifest.json").read_bytes()
    page = write_report([begun]).read_text(encoding="utf-8")
    assert "No example inputs: the images of photos are not on this machine" in page
    line = refused(capsys, "verify", str(begun), "--top", "2")
    assert f"its data set '{begun.parent}/photos': expected a folder of images, found none: bring it back" in line


def test_an_accelerator_whose_file_is_gone_is_taken_from_the_log(
    begun: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """And that is said."""
    (begun.parent / "edge.yaml").unlink()
    assert main(["verify", str(begun), "--top", "1"]) in {0, 1}
    assert "edge.yaml is not there any more: its accelerator is taken from" in caplog.text
    assert "#1 measured" in capsys.readouterr().out


def test_what_strangers_read_names_no_folder(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log and the page hold the last part of each path."""
    with open_log(begun / "trajectories.h5") as log:
        texts = log.meta.texts()
    told = json.loads(texts["config"])
    assert (told["accelerator"], told["dataset"], told["tables"]) == ("edge.yaml", "photos", "t.npz")
    assert not [name for name, text in texts.items() if str(begun.parent) in text]
    monkeypatch.chdir(begun.parent)
    page = write_report([Path("run")]).read_text(encoding="utf-8")
    assert "accelerator edge.yaml" in page
    assert str(begun.parent) not in page


def test_an_accelerator_of_zigzags_tells_its_file_but_not_its_folder(tmp_path: Path) -> None:
    """Sources and notes name the file that they are from, and go into the log."""
    (tmp_path / "tiny.yaml").write_text(CORE)
    found = accelerator_of(RunConfig(accelerator=str(tmp_path / "tiny.yaml")))
    assert found.source == "tiny.yaml"
    assert any(note.startswith("tiny.yaml: colour") for note in found.notes)
    assert str(tmp_path) not in json.dumps(to_json(found))


def test_a_run_from_before_is_resumed_where_it_began(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths are as they were typed; the same ones may be typed again, from there or in full."""
    config = json.loads((begun / "config.json").read_text())
    (begun / "config.json").write_text(json.dumps({**config, "accelerator": "edge.yaml", "dataset": "photos"}))
    monkeypatch.chdir(begun.parent)
    for typed in ("edge.yaml", str(begun.parent / "edge.yaml")):
        (begun / "search.json").unlink()
        assert main(["train", "--run", "run", "--resume", "--accelerator", typed]) == 0


def test_an_older_run_says_that_its_images_are_missing(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not that there is no data set of that name."""
    config = json.loads((begun / "config.json").read_text())
    (begun / "config.json").write_text(json.dumps({**config, "dataset": "photos"}))
    assert "its data set 'photos': expected a folder of images, found none" in refused(capsys, "verify", str(begun))


def test_names_stay_names_and_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a file has the name of something shipped; what is not here stays as it was typed."""
    monkeypatch.chdir(tmp_path)
    for name in ("diana", "cifar10", "shipped", "macs", "untrained", "policy.npz"):
        (tmp_path / name).touch()
    for config in (
        RunConfig(),
        RunConfig(accelerator="diana", dataset="cifar10", tables="shipped", search=AgentSettings(policy="untrained")),
        RunConfig(tables="macs", search=AgentSettings(policy="shipped")),
        RunConfig(accelerator="nowhere.yaml", dataset="nowhere", tables="nowhere.npz", backbone="mine:net"),
    ):
        assert located(config) == bare(config) == config
    config = RunConfig(
        data_root="data", backend_memo="m.sqlite", search=AgentSettings(policy="policy.npz", tensorboard="board")
    )
    found = located(config)
    assert (found.data_root, found.backend_memo) == (f"{tmp_path}/data", f"{tmp_path}/m.sqlite")
    assert (found.search.policy, found.search.tensorboard) == (f"{tmp_path}/policy.npz", "board")
    assert bare(found) == config
