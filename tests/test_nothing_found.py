"""A problem that nothing solves: every verb says so and which bounds were broken, and nothing is trained for it."""

from pathlib import Path

import pytest

from eenn_rl.cli import main
from eenn_rl.report import write_report
from eenn_rl.run_folder import RunFolder
from eenn_rl.trajectory import open_log

IMPOSSIBLE = ("--agent", "random", "--budget", "60", "--deadline", "1e-9")
LINE = "no feasible network with early exits was found, so there is nothing to verify; constraints that were broken, "


def test_a_search_that_finds_nothing_says_which_constraints_were_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`train` and `show` in one line, `verify` before it trains anything, the report in place of advice to verify."""
    run = tmp_path / "run"
    assert main(["train", *IMPOSSIBLE, "--tables", "shipped", "--verify", "0", "--run", str(run)]) == 0
    train = capsys.readouterr()
    assert main(["show", str(run)]) == 0
    shown = capsys.readouterr().out
    assert main(["verify", str(run)]) == 1
    verify = capsys.readouterr().err
    page = write_report([run]).read_text(encoding="utf-8")
    for said in (train.out, train.err, shown, verify, page):
        assert LINE + "of 60 architectures: deadline by 60" in " ".join(said.split())
        assert "eenn-rl verify" not in said
        assert "next phase" not in said
    assert not list(RunFolder(run).weights.iterdir())
    assert not RunFolder(run).results.exists()
    with open_log(RunFolder(run).trajectories) as log:
        assert log.finished


def test_the_whole_job_ends_with_a_search_that_finds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Static networks are not trained in full for nothing; `--resume` says the same again."""
    run = tmp_path / "run"
    words = ["train", *IMPOSSIBLE, "--tables", "macs", "--bits", "8", "--verify", "1", "--run", str(run)]
    for more in ([], ["--resume"]):
        assert main([*words, *more]) == 0
        assert LINE in " ".join(capsys.readouterr().err.split())
    assert not list(RunFolder(run).weights.iterdir())
