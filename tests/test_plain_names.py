"""Names that a user gave are printed as they are, whatever brackets and colons mean to the library that prints."""

import io
import shutil
from pathlib import Path

import pytest

from eenn_rl.cli import main
from eenn_rl.cost import LayerCost
from eenn_rl.cost_view import layers_table
from eenn_rl.display import Display
from eenn_rl.hardware import load_accelerator
from small_run import small_run

ODD = ("closed[/b]", "open[bold]name", "colons:bug:")


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("finished", [True, False])
def test_a_run_of_any_name_is_shown(
    name: str, finished: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verified or not, alone, as JSON, and side by side."""
    monkeypatch.chdir(tmp_path)
    left_out = () if finished else ("verification.json", "search.json", "trajectories.h5")
    shutil.copytree(small_run(), name, ignore=shutil.ignore_patterns(*left_out))
    for words in ([name], [name, "--json"], *([[name, name]] if finished else [])):
        assert main(["show", *words]) == 0
        assert name in capsys.readouterr().out


def test_layers_of_any_name_are_shown() -> None:
    """Nodes of an ONNX network may be called anything."""
    costs = [LayerCost(name, "core0", None, 1.0, 1.0, 1, 1.0, {name: 1.0}) for name in ODD]
    text = layers_table(costs, load_accelerator("quad_edge_tpu"))
    assert all(text.count(name) == 2 for name in ODD)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_of_any_name_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Phases, facts (the name of an agent, say) and notes, on a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    with Display(stream=stream) as display:
        display.phase(ODD[0], 10)
        display.advance(5, agent=ODD[1])
        display.note(ODD[2])
    assert all(name in stream.getvalue() for name in ODD)
