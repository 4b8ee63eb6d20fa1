"""The comparison of agents on a real problem, end to end."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eenn_rl import compare as compare_module
from eenn_rl.cli import main
from eenn_rl.compare import CompareSettings, compare
from eenn_rl.config import RunConfig
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.places import held
from eenn_rl.search import AgentSettings
from eenn_rl.tables import AccuracyTables
from eenn_rl.zoo import make_backbone
from logged_problem import random_tables
from plugin_site import good_plugin, install
from test_given_tables import refused
from test_unchanged import write_accelerator

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


def test_agents_and_seeds_of_before_are_summarised_too(tables: AccuracyTables, tmp_path: Path) -> None:
    """A command that asks for a part of them takes nothing away: neither rows and seeds, nor the best known reward."""
    out, untrained = tmp_path / "comparison", RunConfig(search=AgentSettings(policy="untrained"))
    whole = compare(untrained, tables, out, replace(SETTINGS, agents=("local", "ppo")))
    cells = {path.name: path.read_bytes() for path in (out / "cells").iterdir()}
    part = compare(RunConfig(), tables, out, replace(SETTINGS, agents=("random",), seeds=1))
    assert [(row.agent, row.seeds) for row in part.rows] == [("random", 1), ("local", 2), ("ppo", 2)]
    assert part.policies == {"random": None, "local": None, "ppo": "untrained"}
    assert whole.best_known is not None
    assert part.best_known == max(cell.best for cell in part.cells) >= whole.best_known
    assert [row.rewards for row in part.rows[1:]] == [row.rewards for row in whole.rows]
    fewer = compare(untrained, tables, out, replace(SETTINGS, agents=("ppo",), seeds=1))
    assert [(row.agent, row.seeds) for row in fewer.rows] == [("ppo", 2), ("local", 2), ("random", 1)]
    assert [(cell.agent, cell.seed) for cell in fewer.cells[:3]] == [("ppo", 0), ("ppo", 1), ("local", 0)]
    assert fewer.best_known == part.best_known
    assert {name: (out / "cells" / name).read_bytes() for name in cells} == cells


def test_what_is_no_cell_of_before_is_left_out(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And told, one line each: nobody asked for it."""
    words, cells = (*words, "--out", str(tmp_path / "out"), "--seeds", "1"), tmp_path / "out" / "cells"
    assert main(list(words)) == 0
    capsys.readouterr()
    cell = json.loads((cells / "random-0.json").read_text())
    for name, content in (("local-0", "half"), ("random-7", json.dumps({**cell, "seed": 8})), ("random-01", "{}")):
        (cells / f"{name}.json").write_text(content)
    (cells / ".random-0.json.0123abcd.unfinished").write_text("half")
    assert main(list(words)) == 0
    told = " ".join(capsys.readouterr().err.split())
    for name, what in (("local-0", "expected JSON"), ("random-7", "seed must be 7, found 8"), ("random-01", "a name")):
        assert f"left out of the summary: {cells / name}.json: " in told
        assert what in told
    summary = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [(cell["agent"], cell["seed"]) for cell in summary["cells"]] == [("random", 0)]


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


def test_a_second_process_in_the_same_folder_is_refused(tables: AccuracyTables, tmp_path: Path) -> None:
    """Two would search every missing cell twice, and the slower one's summary would stay."""
    out = tmp_path / "comparison"
    compare(RunConfig(), tables, out, SETTINGS)
    summary = (out / "comparison.json").read_bytes()
    with held(out, "comparison", "--out"), pytest.raises(InvalidValueError, match=r"in use by another process.*--out"):
        compare(RunConfig(), tables, out, replace(SETTINGS, seeds=3))
    assert (out / "comparison.json").read_bytes() == summary
    compare(RunConfig(), tables, out, SETTINGS)


def test_who_is_refused_changes_nothing(tables: AccuracyTables, tmp_path: Path) -> None:
    """Not even what the first one compares on, where a comparison of before is to be completed."""
    out = tmp_path / "comparison"
    compare(RunConfig(), tables, out, replace(SETTINGS, agents=("random",)))
    begun_before(out)
    before = (out / "problem.json").read_bytes()
    with held(out, "comparison", "--out"), pytest.raises(InvalidValueError, match="in use by another process"):
        compare(RunConfig(), tables, out, replace(SETTINGS, agents=("random",)))
    assert (out / "problem.json").read_bytes() == before


def test_a_folder_that_is_refused_stays_as_it_was(tables: AccuracyTables, tmp_path: Path) -> None:
    """No lock is left in it; what a process left that was killed before it claimed a folder refuses none."""
    (tmp_path / "thesis.txt").write_text("mine")
    stamp = tmp_path.stat().st_mtime_ns
    with pytest.raises(InvalidValueError, match="other files"):
        compare(RunConfig(), tables, tmp_path, SETTINGS)
    assert (tmp_path.stat().st_mtime_ns, len(list(tmp_path.iterdir()))) == (stamp, 1)
    out, once = tmp_path / "comparison", CompareSettings(("random",), (5,), 1, workers=1)
    out.mkdir()
    for left in (".lock", ".problem.json.0123abcd.unfinished"):
        (out / left).touch()
    compare(RunConfig(), tables, out, once)
    names = {path.name for path in out.iterdir()}
    assert names == {"cells", "comparison.json", "comparison.svg", "problem.json", "tables.npz"}
    with pytest.raises(InvalidValueError, match="found another's"):
        compare(RunConfig(max_exits=2), tables, out, once)
    assert {path.name for path in out.iterdir()} == names


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


@pytest.fixture
def words(tables: AccuracyTables, tmp_path: Path) -> tuple[str, ...]:
    """The command of a comparison that takes a second, but for --out and --accelerator."""
    tables.save(tmp_path / "tables.npz")
    short = ("--agents", "random", "--budgets", "5", "--workers", "1")
    return ("compare", "--tables", str(tmp_path / "tables.npz"), *short)


def stamps(out: Path) -> list[int]:
    """When each cell was written."""
    return [path.stat().st_mtime_ns for path in sorted((out / "cells").iterdir())]


def test_an_edited_accelerator_is_not_mixed_with_the_one_before(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the same path: one line, and no cell is searched; what no cost depends on may change."""
    file, out = tmp_path / "edge.yaml", tmp_path / "out"
    words = (*words, "--out", str(out), "--accelerator", write_accelerator(file))
    assert main([*words, "--seeds", "1"]) == 0
    write_accelerator(file, "clock_hz: 1.0e9", "clock_hz: 5e8")
    line = refused(capsys, *words, "--seeds", "2")
    assert "found another's (another accelerator; latency_s of static was" in line
    assert "put back what was changed, or choose another" in line
    assert len(stamps(out)) == 1
    write_accelerator(file, "description: four", "description: now documented, four")
    assert main([*words, "--seeds", "2"]) == 0
    assert len(stamps(out)) == 2


def test_an_accelerator_edited_while_a_comparison_goes_on_ends_it(
    tables: AccuracyTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next search is refused, not made on another machine than the one before it."""
    file, out = tmp_path / "edge.yaml", tmp_path / "out"
    config, once = RunConfig(accelerator=write_accelerator(file)), compare_module.search_cell

    def search_and_edit(*given: Any) -> None:
        once(*given)
        write_accelerator(file, "clock_hz: 1.0e9", "clock_hz: 5e8")

    monkeypatch.setattr(compare_module, "search_cell", search_and_edit)
    with pytest.raises(InvalidValueError, match=r"found another while it went on \(another accelerator\): put back"):
        compare(config, tables, out, CompareSettings(("random",), (5,), 2, workers=1))
    assert len(stamps(out)) == 1


@pytest.mark.parametrize(("old", "new", "told"), [
    ("energy + macs * 1e-12", "energy + macs * 2e-12", "energy_j of static was"),
    ("costs, energy, latency = [], 0.0, 0.0", "costs, energy, latency = [], 0.0, 1e-9 * (len(workload.stages) - 1)",
     "latency_s of sample 1 was"),
])  # fmt: skip
def test_another_cost_model_is_not_mixed_with_the_one_before(
    old: str, new: str, told: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """A backend that was changed under its name, seen by static networks or by those with early exits alone."""
    source = good_plugin()
    site = install(tmp_path / "site", "chip", {"chip": "chip"}, {"chip": source})
    assert old in source

    def compared() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        command = [sys.executable, "-m", "eenn_rl.cli", *words, "--out", str(tmp_path / "out"), "--backend", "chip"]
        return subprocess.run([*command, "--seeds", "1"], capture_output=True, text=True, check=False, env=environment)

    assert compared().returncode == 0
    (site / "chip.py").write_text(source.replace(old, new))
    done = compared()
    assert done.returncode == 2, done.stderr
    assert f"found another's ({told}" in done.stderr


def test_a_search_whose_process_is_killed_is_one_line(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the system does when memory runs out; the comparison can be continued."""
    kill = "if multiprocessing.parent_process(): os.kill(os.getpid(), 9)\n        costs, energy, latency"
    source = "import multiprocessing, os\n" + good_plugin().replace("costs, energy, latency", kill, 1)
    monkeypatch.syspath_prepend(install(tmp_path / "site", "chip", {"chip": "chip"}, {"chip": source}))
    words = (*words, "--out", str(tmp_path / "out"), "--backend", "chip", "--seeds", "2")
    line = refused(capsys, *words, "--workers", "2")
    assert "found one that was killed or ended itself (perhaps memory ran out): start it again, which con" in line
    assert main([*words, "--workers", "1"]) == 0


def test_another_policy_in_the_same_file_is_refused(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As soon as an agent began with one; the same policy is welcome from any file, and to agents without any."""
    shipped = resources.files("eenn_agents") / "policies" / "resnet8.npz"
    with np.load(str(shipped)) as file:
        arrays = dict(file)
    mine, other = tmp_path / "mine.npz", tmp_path / "other.npz"
    mine.write_bytes(shipped.read_bytes())
    np.savez(other, **arrays)
    words = (*words, "--out", str(tmp_path / "out"), "--seeds", "1")
    assert main(list(words)) == 0
    both = (*words, "--agents", "ppo,random")
    assert main([*both, "--policy", str(mine)]) == 0
    before = stamps(tmp_path / "out")
    assert main([*both, "--policy", "shipped"]) == 0
    assert main(list(words)) == 0
    mine.write_bytes(other.read_bytes())
    assert "found another's (another policy)" in refused(capsys, *both, "--policy", str(mine))
    assert stamps(tmp_path / "out") == before


def test_a_comparison_goes_on_from_every_directory(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The accelerator's file may be named by any of its paths, or lie somewhere else by now."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir()
    monkeypatch.chdir(home)
    write_accelerator(Path("edge.yaml"))
    assert main([*words, "--out", "out", "--accelerator", "edge.yaml", "--seeds", "1"]) == 0
    before = stamps(home / "out")
    assert json.loads(Path("out/problem.json").read_text())["accelerator"] == str(home / "edge.yaml")
    assert main([*words, "--out", "out", "--accelerator", "../home/edge.yaml", "--seeds", "1"]) == 0
    monkeypatch.chdir(elsewhere)
    assert main([*words, "--out", "../home/out", "--accelerator", str(home / "edge.yaml"), "--seeds", "1"]) == 0
    (home / "edge.yaml").rename("moved.yaml")
    assert main([*words, "--out", "../home/out", "--accelerator", "moved.yaml", "--seeds", "1"]) == 0
    assert stamps(home / "out") == before


def test_a_comparison_that_lost_its_cells_searches_them_again(words: tuple[str, ...], tmp_path: Path) -> None:
    """Also where the whole folder of them is gone."""
    out = tmp_path / "out"
    words = (*words, "--out", str(out), "--seeds", "1")
    assert main(list(words)) == 0
    shutil.rmtree(out / "cells")
    assert main(list(words)) == 0
    assert len(stamps(out)) == 1


@pytest.mark.parametrize(("changes", "told"), [
    ({"agent": "local"}, "agent must be 'random', found 'local'"),
    ({"seed": 1}, "seed must be 0, found 1"),
    ({"evaluations": 6}, "evaluations must be at most 5, the budget, found 6"),
    ({"evaluations": -1}, "evaluations must be at least 0, found -1"),
    ({"improvements": [[1, 0.5], [6, 0.7]]}, "improvements must be finite and rising within 5 evaluations"),
    ({"improvements": [[1, 0.5], [2, 0.4]]}, "improvements must be finite and rising within 5 evaluations"),
    ({"improvements": [[0, 0.5]]}, "improvements must be finite and rising within 5 evaluations"),
    ({"improvements": [[1, float("nan")]]}, "improvements must be finite and rising within 5 evaluations"),
    ({"feasible_share": 1.5}, "feasible_share must be between 0 and 1, found 1.5"),
    ({"wall_s": float("inf")}, "wall_s must be at least 0 and finite, found inf"),
    ({"hypervolume": None}, "hypervolume: Input should be a valid number"),
    ({"colour": "red"}, "unknown key 'colour'"),
])  # fmt: skip
def test_a_cell_that_is_not_its_searchs_is_refused(
    changes: dict[str, Any], told: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that names its file, before anything else is searched."""
    cells = tmp_path / "out" / "cells"
    words = (*words, "--out", str(tmp_path / "out"))
    assert main([*words, "--seeds", "1"]) == 0
    cell = cells / "random-0.json"
    cell.write_text(json.dumps({**json.loads(cell.read_text()), **changes}))
    line = refused(capsys, *words, "--seeds", "2")
    assert f"{cell}: {told}" in line
    assert line.endswith("delete that file to search it again")
    assert [path.name for path in cells.iterdir()] == ["random-0.json"]


def begun_before(out: Path, **changes: Any) -> None:
    """Let the comparison in `out` look as an earlier eenn-rl left it."""
    problem = json.loads((out / "problem.json").read_text())
    del problem["content"]
    (out / "problem.json").write_text(json.dumps({**problem, "workers": 2, **changes}))


def test_a_comparison_begun_before_goes_on_and_keeps_what_it_finds(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It kept paths alone: where they are the same it goes on, says what nobody knows, and is held to what it found."""
    monkeypatch.chdir(tmp_path)
    write_accelerator(Path("edge.yaml"))
    words = (*words, "--out", "out", "--seeds", "1")
    assert main([*words, "--accelerator", "edge.yaml"]) == 0
    before, edge = stamps(Path("out")), str(Path("edge.yaml").resolve())
    begun_before(Path("out"), accelerator="edge.yaml")
    assert f"(accelerator: {edge} -> None)" in refused(capsys, *words)
    assert main([*words, "--accelerator", edge]) == 0
    assert "whether they changed since is unknown" in capsys.readouterr().err
    assert stamps(Path("out")) == before
    assert main([*words, "--accelerator", edge]) == 0
    assert "is unknown" not in capsys.readouterr().err
    write_accelerator(Path("edge.yaml"), "clock_hz: 1.0e9", "clock_hz: 5e8")
    assert "another accelerator" in refused(capsys, *words, "--accelerator", edge)


def test_a_comparison_begun_before_keeps_its_policy(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it first goes on with agents that use none."""
    words, both = (*words, "--out", str(tmp_path / "out"), "--seeds", "1"), ("--agents", "ppo,random")
    assert main([*words, *both]) == 0
    begun_before(tmp_path / "out")
    assert main(list(words)) == 0
    assert "(another policy)" in refused(capsys, *words, *both, "--policy", "untrained")
    assert main([*words, *both]) == 0


@pytest.mark.parametrize("content", ["[]", '{"budget": 5}', '{"tables": "x", "budget": 5, "colour": 1}', "{"])
def test_a_damaged_problem_is_one_line(
    content: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the file."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "problem.json").write_text(content)
    assert "problem.json: " in refused(capsys, *words, "--out", str(tmp_path / "out"))
