"""`eenn-rl show`: what a person is told of a run."""

import json
import shutil
from pathlib import Path

import pytest

from eenn_rl.cli import main
from small_run import small_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run that may be changed."""
    return Path(shutil.copytree(small_run(), tmp_path / "run"))


def shown(run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["show", str(run)]) == 0
    return capsys.readouterr().out


def test_a_narrow_terminal_loses_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table stays as wide as its columns need: every number and verdict is there."""
    wide = shown(run, capsys)
    monkeypatch.setenv("COLUMNS", "40")
    narrow = shown(run, capsys)
    assert narrow.count("predicted") == wide.count("predicted") > 0
    assert "\u2026" not in narrow
    assert "missed" in narrow or "holds" in narrow


def test_networks_that_save_nothing_are_called_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where every verified network costs more than the static one, the advice is to take that."""
    results = json.loads((run / "verification.json").read_text())
    assert "saves anything" not in shown(run, capsys)
    for item in results["verified"]:
        item["elp_reduction"] = item["elp_reduction_best_bits"] = -0.25
    (run / "verification.json").write_text(json.dumps(results))
    text = " ".join(shown(run, capsys).split())
    assert "no verified architecture saves anything on test: take the static 8-bit network, or another chip" in text
    assert "ELP 25.0% above the best static network" in text
