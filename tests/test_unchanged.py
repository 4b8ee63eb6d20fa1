"""A run is verified on what it was searched on, or not at all: accelerator, costs, tables, images."""

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from eenn_rl.cli import main
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.results import Results, StaticResult
from eenn_rl.run_folder import RunFolder, write_json
from eenn_rl.serialization import to_json
from eenn_rl.unchanged import check_images
from eenn_rl.zoo import make_backbone
from logged_problem import random_tables
from plugin_site import good_plugin, install
from test_given_tables import refused, tables_of
from test_networks_data import make_folder

SEARCH = (
    "--agent", "random", "--budget", "100", "--accuracy-tolerance", "1", "--min-exit-rate", "0", "--overhead", "9",
)  # fmt: skip
SHIPPED = resources.files("eenn_rl") / "accelerators" / "quad_edge_tpu.yaml"


def write_accelerator(path: Path, old: str = "", new: str = "") -> str:
    """A file of the shipped accelerator with `old` replaced."""
    text = SHIPPED.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new))
    return str(path)


def test_an_edited_accelerator_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `verify`, with a backend to compare with too; what no cost depends on may change."""
    file, run = tmp_path / "edge.yaml", str(tmp_path / "run")
    words = ("--tables", "shipped", "--accelerator", write_accelerator(file))
    assert main(["train", *SEARCH, *words, "--run", run]) == 0
    write_accelerator(file, "clock_hz: 1.0e9", "clock_hz: 5e8")
    line = refused(capsys, "verify", run)
    assert "found another: accelerator: put back what was changed, begin a new run, or" in line
    assert f"eenn-rl replay {run}/trajectories.h5 --accelerator FILE --out NEW.h5" in line
    assert not list((tmp_path / "run" / "weights").iterdir())
    static = StaticResult(8, 0.9, 1e-6, 1e-6, 1e-12, 0.9)
    write_json(tmp_path / "run" / "verification.json", to_json(Results(static, static, (), {}, 1, 1)))
    assert "found another: accelerator" in refused(capsys, "verify", run, "--backend", "diana")
    write_accelerator(file, "description: four", "description: now documented, four")
    assert "found another" not in refused(capsys, "verify", run, "--backend", "diana")


def test_a_resumed_run_refuses_an_edited_accelerator_when_its_search_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the phase of verification as in that of search."""
    file, run = tmp_path / "edge.yaml", tmp_path / "run"
    words = ("--tables", "macs", "--bits", "8", "--accelerator", write_accelerator(file))
    assert main(["train", *SEARCH, *words, "--verify", "0", "--run", str(run)]) == 0
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "verify": 1}))
    write_accelerator(file, "clock_hz: 1.0e9", "clock_hz: 5e8")
    assert "found another: accelerator" in refused(capsys, "train", "--run", str(run), "--resume")


@pytest.mark.parametrize(("old", "new", "told"), [
    ("energy + macs * 1e-12", "energy + macs * 2e-12", "energy_j of static"),
    ("costs, energy, latency = [], 0.0, 0.0", "costs, energy, latency = [], 0.0, 1e-9 * (len(workload.stages) - 1)",
     "latency_s of #1"),
])  # fmt: skip
def test_another_cost_model_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    """A plugin that was changed under one version, seen by the static networks or by early-exit networks alone."""
    source = good_plugin()
    site = install(tmp_path / "site", "chip", {"chip": "chip"}, {"chip": source})
    tables, run = tables_of(tmp_path / "tables.npz", "digits"), str(tmp_path / "run")

    def eenn_rl(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        command = [sys.executable, "-m", "eenn_rl.cli", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert eenn_rl("train", *SEARCH, "--backend", "chip", "--tables", tables, "--run", run).returncode == 0
    assert old in source
    (site / "chip.py").write_text(source.replace(old, new))
    done = eenn_rl("verify", run)
    assert done.returncode == 2, done.stderr
    assert f"found another: {told} was" in done.stderr
    assert f"eenn-rl replay {run}/trajectories.h5 --backend chip --out NEW.h5" in done.stderr


LOOKED_UP = """
import time
from pathlib import Path
""" + good_plugin().replace("macs * 1e-12", "macs * self.joules").replace(
    "def evaluate(", "joules = float((Path(__file__).parent / 'table.csv').read_text())\n    def evaluate("
).replace("costs, energy", "time.sleep(0.012)\n        costs, energy")


@pytest.mark.parametrize("resumed", [False, True])
def test_another_table_of_a_slow_backend_is_refused(tmp_path: Path, *, resumed: bool) -> None:
    """Data that a plugin ships with decide its costs as code does: what the run kept is not taken for today's."""
    site = install(tmp_path / "site", "chip", {"chip": "chip"}, {})
    (site / "chip").mkdir()
    (site / "chip" / "__init__.py").write_text(LOOKED_UP)
    (site / "chip" / "table.csv").write_text("1e-12")
    tables, run = tables_of(tmp_path / "tables.npz", "digits"), tmp_path / "run"

    def eenn_rl(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
        command = [sys.executable, "-m", "eenn_rl.cli", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    done = eenn_rl("train", *SEARCH, "--backend", "chip", "--tables", tables, "--run", str(run))
    assert done.returncode == 0, done.stderr
    assert (run / "checkpoints" / "costs.sqlite").exists()
    (site / "chip" / "table.csv").write_text("2e-12")
    if resumed:
        (run / "search.json").unlink()
    done = eenn_rl(*(("train", "--resume", "--run") if resumed else ("verify",)), str(run))
    assert done.returncode == 2, done.stderr
    assert ("baselines" if resumed else "found another: energy_j of static was") in done.stderr


def test_other_tables_and_another_objective_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both lie in the run folder, where anyone may edit them."""
    run = tmp_path / "run"
    assert main(["train", *SEARCH, "--tables", tables_of(tmp_path / "t.npz", "digits"), "--run", str(run)]) == 0
    config = json.loads((run / "config.json").read_text())
    config["objective"]["overhead"] = 0.5
    (run / "config.json").write_text(json.dumps(config))
    random_tables(make_backbone("resnet8", (1, 16, 16), 10), 1).save(run / "tables.npz")
    assert "'digits'" in refused(capsys, "verify", str(run))
    tables = tmp_path / "other.npz"
    tables_of(tables, "digits")
    (run / "tables.npz").write_bytes(tables.read_bytes())
    assert "found another: objective: put back" in refused(capsys, "verify", str(run))


def test_other_images_of_the_same_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By `verify` and by `train --resume`: fewer of them, or the same number with one that was changed."""
    photos, run = make_folder(tmp_path / "photos", size=16), str(tmp_path / "run")
    tables = tables_of(tmp_path / "tables.npz", "photos", (3, 16, 16), 2)
    assert main(["train", *SEARCH, "--tables", tables, "--dataset", str(photos), "--run", run]) == 0
    (tmp_path / "run" / "search.json").rename(tmp_path / "search.json")
    first = photos / "train" / "cat" / "000.png"
    content = first.read_bytes()
    first.write_bytes((photos / "train" / "cat" / "001.png").read_bytes())
    for words in (("train", "--run", run, "--resume"), ("verify", run)):
        if words[0] == "verify":
            (tmp_path / "search.json").rename(tmp_path / "run" / "search.json")
        assert "found others (80 files then, 80 now): put them back" in refused(capsys, *words)
    first.unlink()
    assert "(80 files then, 79 now)" in refused(capsys, "verify", run)
    first.write_bytes(content)
    check_images(RunFolder(tmp_path / "run"), str(photos))


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"sha256": 5, "files": 80}', '{"sha256": "", "files": 80, "more": 1}']
)
def test_a_damaged_fingerprint_of_images_is_one_line(content: str, tmp_path: Path) -> None:
    """It is read before anything is trained, and named."""
    photos, folder = make_folder(tmp_path / "photos"), RunFolder(tmp_path)
    folder.images.write_text(content)
    with pytest.raises(InputFileError, match=r"images\.json: "):
        check_images(folder, str(photos))


def test_a_run_from_before_goes_on_with_the_images_it_finds(tmp_path: Path) -> None:
    """It does not say which it began with; from then on they are known. Where none are here, nothing is compared."""
    photos, folder = make_folder(tmp_path / "photos"), RunFolder(tmp_path)
    check_images(folder, "digits")
    check_images(folder, "nowhere")
    assert not folder.images.exists()
    check_images(folder, str(photos))
    assert json.loads(folder.images.read_text())["files"] == 80


def test_a_run_keeps_the_names_of_its_classes_and_how_files_become_pixels(tmp_path: Path) -> None:
    """In the order of labels, and without a path; what a run from before kept, the fingerprint alone, is completed."""
    photos, folder = make_folder(tmp_path / "photos", ("dog", "Cat"), size=70), RunFolder(tmp_path)
    check_images(folder, str(photos))
    whole = json.loads(folder.images.read_text())
    assert whole["classes"] == ["Cat", "dog"]
    assert whole["image"] == {"colour": "rgb", "height": 32, "width": 32, "resize": "bilinear", "crop": "none"}
    assert str(tmp_path) not in folder.images.read_text()
    before = {name: whole[name] for name in ("sha256", "files")}
    write_json(folder.images, before)
    check_images(folder, str(photos))
    assert json.loads(folder.images.read_text()) == whole
    write_json(folder.images, {**before, "files": 81})
    with pytest.raises(InvalidValueError, match=r"found others \(81 files then, 80 now\)"):
        check_images(folder, str(photos))
