"""The comparison of agents on a real problem, end to end."""

import json
from importlib import resources
from pathlib import Path

import pytest

from eenn_rl.cli import main
from eenn_rl.compare import CompareSettings, compare
from eenn_rl.config import RunConfig
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.search import AgentSettings
from eenn_rl.tables import AccuracyTables
from eenn_rl.zoo import make_backbone
from logged_problem import random_tables

SETTINGS = CompareSettings(agents=("local", "random"), budgets=(10, 40), seeds=2, workers=1)


@pytest.fixture(scope="module")
def tables() -> AccuracyTables:
    return random_tables(make_backbone("resnet8", (1, 16, 16)))


def test_a_comparison_is_resumed_not_repeated(tables: AccuracyTables, tmp_path: Path) -> None:
    """A cell that is there is not searched again, a missing one is searched alike, and the summary stays the same."""
    out = tmp_path / "comparison"
    first = compare(RunConfig(), tables, out, SETTINGS)
    kept, lost = out / "cells" / "local-0.json", out / "cells" / "random-1.json"
    stamp, before = kept.stat().st_mtime_ns, json.loads(lost.read_text())
    lost.unlink()
    again = compare(RunConfig(), tables, out, SETTINGS)
    assert kept.stat().st_mtime_ns == stamp
    after = json.loads(lost.read_text())
    assert {**after, "wall_s": 0} == {**before, "wall_s": 0}
    assert again.best_known == first.best_known
    assert [row.rewards for row in again.rows] == [row.rewards for row in first.rows]
    assert {path.name for path in out.iterdir()} >= {"comparison.json", "comparison.svg", "problem.json", "tables.npz"}
    assert "local" in str(first)


def test_processes_change_nothing(tables: AccuracyTables, tmp_path: Path) -> None:
    """Two workers find what one finds."""
    one = compare(RunConfig(), tables, tmp_path / "one", CompareSettings(("random",), (20,), 2, workers=1))
    two = compare(RunConfig(), tables, tmp_path / "two", CompareSettings(("random",), (20,), 2, workers=2))
    assert [cell.improvements for cell in one.cells] == [cell.improvements for cell in two.cells]


def test_another_comparisons_folder_is_refused(tables: AccuracyTables, tmp_path: Path) -> None:
    """A folder with other files, or of another problem, is left alone."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidValueError, match="other files"):
        compare(RunConfig(), tables, tmp_path, SETTINGS)
    out = tmp_path / "comparison"
    compare(RunConfig(), tables, out, CompareSettings(("random",), (5,), 1, workers=1))
    with pytest.raises(InvalidValueError, match="another"):
        compare(RunConfig(max_exits=2), tables, out, CompareSettings(("random",), (5,), 1, workers=1))


def test_unknown_agents_are_refused_before_anything_is_made(tables: AccuracyTables, tmp_path: Path) -> None:
    """A misspelt agent leaves no folder behind."""
    with pytest.raises(InvalidValueError, match="did you mean"):
        compare(RunConfig(), tables, tmp_path / "x", CompareSettings(agents=("locl",)))
    assert not (tmp_path / "x").exists()


def test_a_comparison_goes_on_with_other_processes(tables: AccuracyTables, tmp_path: Path) -> None:
    """What changes no result may change, from the command line too; also where a comparison of before stored it."""
    tables.save(tmp_path / "tables.npz")
    out, memo = tmp_path / "out", str(tmp_path / "memo.db")
    words = ["compare", "--out", str(out), "--tables", str(tmp_path / "tables.npz"), "--agents", "random"]
    words += ["--budgets", "5", "--seeds", "1"]
    assert main([*words, "--workers", "1"]) == 0
    stamp = (out / "cells" / "random-0.json").stat().st_mtime_ns
    problem = json.loads((out / "problem.json").read_text())
    assert not {"workers", "backend_workers", "backend_memo"} & problem.keys()
    (out / "problem.json").write_text(json.dumps({**problem, "workers": 7, "backend_workers": 3, "backend_memo": "x"}))
    assert main([*words, "--workers", "3", "--backend-workers", "2", "--backend-memo", memo]) == 0
    assert (out / "cells" / "random-0.json").stat().st_mtime_ns == stamp
    assert main([*words, "--max-exits", "2"]) == 2


def test_the_policy_that_agents_begin_with_is_chosen_and_told(
    tables: AccuracyTables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By default ppo begins with the shipped policy; `--policy` gives it another, and no other agent any."""
    tables.save(tmp_path / "tables.npz")
    shipped = str(resources.files("eenn_agents") / "policies" / "resnet8.npz")
    words = ["compare", "--tables", str(tmp_path / "tables.npz"), "--agents", "ppo,random", "--budgets", "20"]
    words += ["--seeds", "1", "--workers", "1"]
    given = {"default": (), "untrained": ("--policy", "untrained"), "file": ("--policy", shipped)}
    found = {}
    for name, policy in given.items():
        out = tmp_path / name
        assert main([*words, "--out", str(out), *policy]) == 0
        begun = {"default": "shipped", "untrained": "untrained", "file": shipped}[name]
        assert f"policies at the start: ppo {begun}, random none" in capsys.readouterr().out
        summary = json.loads((out / "comparison.json").read_text())
        assert summary["policies"] == {"ppo": begun, "random": None}
        found[name] = [cell["improvements"] for cell in summary["cells"]]
    assert found["default"] == found["file"]
    assert found["default"][0] != found["untrained"][0]
    assert found["default"][1] == found["untrained"][1]
    assert main([*words, "--out", str(tmp_path / "default"), "--policy", "untrained"]) == 2
    assert "found another's" in capsys.readouterr().err


def test_where_the_shipped_policy_does_not_fit_ppo_begins_untrained(tables: AccuracyTables, tmp_path: Path) -> None:
    """And the comparison says so."""
    found = compare(RunConfig(max_exits=3), tables, tmp_path / "x", CompareSettings(("ppo",), (5,), 1, workers=1))
    assert found.policies == {"ppo": "untrained"}


def test_a_policy_that_no_agent_uses_is_refused(tables: AccuracyTables, tmp_path: Path) -> None:
    """Before anything is made; `untrained` is nobody's policy and passes."""
    for policy, agents in (("shipped", ("local", "random")), ("nope", ("random",))):
        config = RunConfig(search=AgentSettings(policy=policy))
        with pytest.raises(InvalidValueError, match=f"--policy {policy}: expected an agent that starts from a policy"):
            compare(config, tables, tmp_path / "x", CompareSettings(agents=agents))
    with pytest.raises(InputFileError, match="expected a policy file"):
        compare(RunConfig(search=AgentSettings(policy="nope")), tables, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    untrained = RunConfig(search=AgentSettings(policy="untrained"))
    compare(untrained, tables, tmp_path / "x", CompareSettings(("random",), (5,), 1, workers=1))


def test_a_comparison_that_finds_nothing_feasible_says_so(
    tables: AccuracyTables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its files are JSON and SVG without infinities, and the table says that none is feasible."""
    tables.save(tmp_path / "tables.npz")
    words = ("--tables", str(tmp_path / "tables.npz"), "--agents", "random", "--budgets", "3", "--seeds", "2")
    impossible = ("--deadline", "1e-15", "--workers", "1")
    assert main(["compare", "--out", str(tmp_path / "out"), *words, *impossible]) == 0
    printed = capsys.readouterr().out
    assert "best known reward none feasible" in printed
    assert "inf" not in printed.replace("infeasible", "")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = (tmp_path / "out" / "comparison.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert found["best_known"] is None
    assert found["rows"][0]["rewards"]["3"] == {"median": None, "low": None, "high": None}
    assert "nan" not in (tmp_path / "out" / "comparison.svg").read_text()
