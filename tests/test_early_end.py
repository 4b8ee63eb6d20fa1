"""Searches whose agent has nothing new to propose long before the budget is spent: they say so."""

from pathlib import Path

import pytest

from eenn_rl.cli import main
from eenn_rl.run_folder import RunFolder
from plugin_site import install

AGENTS = """
class Four:
    def __init__(self, task): self.genomes = next(task.space.enumerate())[:4]
    def ask(self): return self.genomes
    def tell(self, genomes, rewards): pass
    def state(self): return {}
    def restore(self, state): pass

class Silent(Four):
    def ask(self): return self.genomes[:0]
"""
TIRED = "agent four proposed nothing new 200 times in a row: stopped after 4 of 300 evaluations"
SILENT = "agent silent proposed nothing: stopped after 0 of 300 evaluations"


@pytest.fixture(autouse=True)
def _agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"four": "few_agents:Four", "silent": "few_agents:Silent"}
    site = install(tmp_path / "site", "few-agents", points, {"few_agents": AGENTS}, group="eenn_rl.agents")
    monkeypatch.syspath_prepend(site)


def said_by(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """All that a verb prints, on one line."""
    assert main(list(words)) == 0
    printed = capsys.readouterr()
    return " ".join((printed.out + printed.err).split())


@pytest.mark.parametrize(("agent", "line"), [("four", TIRED), ("silent", SILENT)])
def test_a_search_that_ends_early_says_so(
    agent: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on the terminal and in the run's log file; a search without any architecture has broken nothing."""
    run = tmp_path / "run"
    words = ("train", "--tables", "shipped", "--agent", agent, "--budget", "300", "--run", str(run))
    said = said_by(capsys, *words)
    assert said.count(line) == 1
    assert line in RunFolder(run).log.read_text(encoding="utf-8")
    assert ("no architecture was evaluated, so there is nothing to verify" in said) == (agent == "silent")
    assert "of 0 architectures" not in said


def test_a_comparison_says_which_searches_ended_early(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line below its table for all seeds alike, also when it is looked at again; none for who spent the budget."""
    words = ["compare", "--out", str(tmp_path / "out"), "--agents", "four,silent,random", "--budgets", "300"]
    words += ["--seeds", "2", "--workers", "1"]
    for _ in range(2):
        said = said_by(capsys, *words)
        assert f"{TIRED} (seed 0, 1) {SILENT} (seed 0, 1)" in said
        assert "agent random proposed" not in said
